"""What all tests share: the signal that Ctrl-C sends."""

import signal

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    # As a shell starts what it runs in the background. Processes that tests start and interrupt
    # would inherit it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
