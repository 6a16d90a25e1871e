from nas.bench.machine import Machine as Machine
from nas.bench.machine import cpu_model as cpu_model
from nas.bench.machine import this_machine as this_machine
