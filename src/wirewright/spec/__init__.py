"""WireGuard as an executable specification: readable Python, to learn from and to test against.

It is written from the paper (*WireGuard: Next Generation Kernel Network Tunnel*, J. A. Donenfeld) and the
RFCs alone, shares no code with the rest of Wirewright, and gets its cryptography from other people's
libraries. So when the engine and this specification agree, two independent readings of the same documents
agree. It is slow, it does no input or output, it asks no clock, and it draws no random numbers: whatever a
message depends on is an argument.

**Do not protect traffic with it.** It makes no attempt to wipe keys, and Python could not if it did.

Reading it next to the paper
============================

Read the modules in this order; each has its theory at the top.

    module          paper                what it answers
    --------------  -------------------  -------------------------------------------------------------
    constants       5.4, 6.1             which strings, sizes and limits are there, and who says so?
    primitives      5.4                  what are Hash, Mac, Hmac, Kdf, Aead, Xaead and DH?
    messages        5.4.2 - 5.4.7        what is on the wire? (`layout` is the machinery below it)
    timestamps      5.1                  why can an initiation not be replayed?
    cookies         5.3, 5.4.4, 5.4.7    who may cost a server work?
    handshake       5.4.2, 5.4.3, 5.4.5  how do two strangers get to two secret keys?
    transport       5.4.6                how do packets travel, and why only once?
    errors          5.1                  what can be wrong with a message?

The paper's symbols, and the names they have here:

    paper               here                                    it is
    ------------------  --------------------------------------  ----------------------------------------------
    Spriv, Spub         static_private, ..._public              the long-lived key pair, an identity
    Epriv, Epub         ephemeral_private, ephemeral            the key pair of one handshake
    Q                   preshared_key                           the optional 32-byte secret, else zeros
    I_i, I_r            sender, receiver; local_, remote_index  32-bit names of a session, one from each side
    C, H                c, h; chaining_key, hash                what the handshake carries from step to step
    κ, τ                key, tau                                used in one step, then forgotten
    Tsend, Trecv        sending_key, receiving_key              the transport keys
    Nsend               counter                                 number of messages sent so far under a key
    R, A, L             CookieSecret, cookie_for, ReceivedCookie  a server's secret, an address, a cookie kept
    a || b, ε           a + b, b''                              concatenation, the empty string

Timers (paper section 6) are not part of it yet; their constants are.

A whole conversation
====================

Alice knows Bob's public key, and has drawn an ephemeral key, looked at the clock, and picked an index for
herself.

    >>> from wirewright.spec import handshake, messages, primitives, timestamps, transport
    >>> alice, bob = bytes([1] * 32), bytes([2] * 32)  # private keys; real ones are random
    >>> initiation, awaiting = handshake.create_initiation(
    ...     static_private=alice,
    ...     responder_public=primitives.public_key(bob),
    ...     ephemeral_private=bytes([3] * 32),
    ...     timestamp=timestamps.tai64n(1_700_000_000, 0),
    ...     sender=0xA11CE,
    ... )
    >>> datagram = initiation.encode()
    >>> len(datagram)
    148

Bob learns from it who is calling. He checks that he knows her, and that the timestamp is newer than her last.

    >>> opened = handshake.open_initiation(messages.Initiation.decode(datagram), static_private=bob)
    >>> opened.initiator_public == primitives.public_key(alice)
    True
    >>> greatest = timestamps.newest_timestamp(opened.timestamp, None)
    >>> response, bobs = handshake.create_response(opened, ephemeral_private=bytes([4] * 32), sender=0xB0B)

Alice completes the handshake. Each now sends with the key that the other receives with.

    >>> alices = handshake.open_response(response, awaiting)
    >>> (alices.sending_key, alices.receiving_key) == (bobs.receiving_key, bobs.sending_key)
    True

Packets flow; a copy of one is refused.

    >>> packet = bytes.fromhex("4500001c 00000000 40110000 0a000001 0a000002") + bytes(8)
    >>> message = transport.seal(alices, 0, packet)
    >>> window = transport.ReplayWindow()
    >>> transport.receive(bobs, window, message) == packet
    True
    >>> transport.receive(bobs, window, message)
    Traceback (most recent call last):
    wirewright.spec.errors.ReplayError: Data.counter: 0 is a duplicate, the newest is 0
"""
