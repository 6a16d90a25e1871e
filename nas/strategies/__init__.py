"""Search strategies behind one ask/tell interface; docs/search.md compares them."""
