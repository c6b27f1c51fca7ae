"""What all tests share: the signals by which a terminal ends what runs in it."""

import signal

# A shell ignores the first in what it starts in the background, and nohup the second. Processes
# that tests start and end by them would inherit it.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
