"""The pool's decisions, as functions of what it knows: who does what, what counts, what is paid."""
