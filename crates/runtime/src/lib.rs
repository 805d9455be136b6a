//! UDP sockets, threads, clocks and wakers for the engine, on any operating system.
