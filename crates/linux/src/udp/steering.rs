//! To which socket of a group the kernel gives a datagram.
//!
//! Left to itself, the kernel spreads datagrams over the sockets of a port by a hash of their addresses, so that all of a
//! peer's come to one shard, but not to its home. A classic BPF program can choose instead: it reads the shard's number in
//! the low bits of the receiver index (`Shard::MAX_SHARDS`), which stands in the first byte of the index on the wire, and
//! the kernel takes the socket of that number in the order in which they were bound. A number that no socket has makes the
//! kernel fall back on its hash: so initiations, which carry no receiver index, are spread.

use std::io;
use std::os::fd::OwnedFd;

use crate::sys;

/// Loads from the datagram's payload, which is where the program's offset 0 is (the kernel's `run_bpf_filter`).
const LOAD_BYTE: u16 = (libc::BPF_LD | libc::BPF_B | libc::BPF_ABS) as u16;
const LOAD_LENGTH: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_LEN) as u16;
const AND: u16 = (libc::BPF_ALU | libc::BPF_AND | libc::BPF_K) as u16;
const JUMP: u16 = (libc::BPF_JMP | libc::BPF_JA) as u16;
const JUMP_IF_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
const JUMP_IF_GREATER: u16 = (libc::BPF_JMP | libc::BPF_JGT | libc::BPF_K) as u16;
const RETURN_VALUE: u16 = (libc::BPF_RET | libc::BPF_A) as u16;
const RETURN_CONSTANT: u16 = (libc::BPF_RET | libc::BPF_K) as u16;

/// No socket has this number.
const BY_HASH: u32 = u32::MAX;
/// The bits of the index that name the shard.
const SHARD_MASK: u32 = wirewright_engine::Shard::<wirewright_runtime::OsRandom>::MAX_SHARDS as u32 - 1;

/// Message types that carry a receiver index, and where: a response after its sender index.
const RESPONSE: u32 = 2;
const COOKIE_REPLY: u32 = 3;
const DATA: u32 = 4;
const RECEIVER: u32 = 4;
const RECEIVER_OF_RESPONSE: u32 = 8;
/// The shortest message that has a receiver index: a response's ends at 12.
const SHORTEST: u32 = 12;

/// Attaches the program to a group, by a socket that joined it. A group is of two or more: the first socket alone is refused.
pub(super) fn attach(socket: &OwnedFd, sockets: usize) -> io::Result<()> {
    let mut program = program(sockets as u32);
    let program = libc::sock_fprog {
        len: program.len() as u16,
        filter: program.as_mut_ptr(),
    };
    // The kernel copies the program, which lives until the end of this function.
    sys::set_option(socket, libc::SOL_SOCKET, libc::SO_ATTACH_REUSEPORT_CBPF, program)
}

fn program(sockets: u32) -> [libc::sock_filter; 13] {
    let step = |code, k| libc::sock_filter {
        code,
        jt: 0,
        jf: 0,
        k,
    };
    let branch = |code, k, jt, jf| libc::sock_filter { code, jt, jf, k };
    // Jumps count from the next step; the last step is number 12.
    [
        step(LOAD_LENGTH, 0),
        branch(JUMP_IF_GREATER, SHORTEST - 1, 0, 10),
        step(LOAD_BYTE, 0),
        branch(JUMP_IF_EQUAL, DATA, 4, 0),
        branch(JUMP_IF_EQUAL, COOKIE_REPLY, 3, 0),
        branch(JUMP_IF_EQUAL, RESPONSE, 0, 6),
        step(LOAD_BYTE, RECEIVER_OF_RESPONSE),
        step(JUMP, 1),
        step(LOAD_BYTE, RECEIVER),
        step(AND, SHARD_MASK),
        branch(JUMP_IF_GREATER, sockets - 1, 1, 0),
        step(RETURN_VALUE, 0),
        step(RETURN_CONSTANT, BY_HASH),
    ]
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, UdpSocket};
    use std::time::{Duration, Instant};

    use crate::udp::fresh::Fresh;
    use crate::udp::{Receiver, Sockets, UdpConfig, UdpOffloads, bind};
    use wirewright_runtime::clock;

    const SHARDS: usize = 4;

    fn group() -> (Vec<Sockets>, UdpSocket) {
        let offloads = UdpOffloads {
            send: true,
            receive: true,
        };
        let config = UdpConfig {
            port: 0,
            mark: 0,
            offloads,
        };
        let (sockets, port, _) = bind(config, SHARDS).unwrap();
        let client = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        client.connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        (sockets, client)
    }

    /// Receives from `sockets` until `count` datagrams have come.
    fn received(sockets: &[Sockets], count: usize) -> Vec<Vec<u8>> {
        let (mut receiver, mut batches) = (Receiver::new(), vec![]);
        let deadline = Instant::now() + Duration::from_secs(5);
        loop {
            for sockets in sockets {
                receiver
                    .receive(clock::now().now, [true; 2], sockets, &mut Fresh, &mut batches)
                    .unwrap();
            }
            let found: Vec<Vec<u8>> = batches
                .iter()
                .flat_map(|batch: &wirewright_engine::Batch| {
                    batch.packets().map(|(_, datagram)| datagram.to_vec())
                })
                .collect();
            if found.len() >= count {
                return found;
            }
            assert!(Instant::now() < deadline, "{} of {count} came", found.len());
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_port_of_another_group_is_in_use() {
        let (_sockets, client) = group();
        let offloads = UdpOffloads {
            send: true,
            receive: true,
        };
        let config = UdpConfig {
            port: client.peer_addr().unwrap().port(),
            mark: 0,
            offloads,
        };
        for shards in [1, 2, SHARDS] {
            let error = bind(config, shards).err().unwrap();
            assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse, "{shards}");
        }
    }

    #[test]
    fn datagrams_come_to_the_shard_that_their_receiver_index_names() {
        let (sockets, client) = group();
        for (shard, sockets) in sockets.iter().enumerate() {
            for (kind, len, at) in [(4, 32, 4), (2, 92, 8), (3, 64, 4)] {
                let mut datagram = vec![0xff; len];
                datagram[0] = kind;
                // Bits above the shard's number are chance.
                datagram[at] = 0b1100_0000 | shard as u8;
                client.send(&datagram).unwrap();
                assert_eq!(received(std::slice::from_ref(sockets), 1), [datagram]);
            }
        }
    }

    #[test]
    fn a_shard_that_is_not_there_and_datagrams_without_an_index_are_not_lost() {
        let (sockets, client) = group();
        let mut beyond = [0; 32];
        (beyond[0], beyond[4]) = (4, SHARDS as u8);
        let mut initiation = [0; 148];
        initiation[0] = 1;
        let messages: [&[u8]; 4] = [&beyond, &initiation, &[4], &[4; 11]];
        for message in messages {
            client.send(message).unwrap();
        }
        assert_eq!(received(&sockets, 4).len(), 4);
    }
}
