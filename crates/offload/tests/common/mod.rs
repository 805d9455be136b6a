//! TCP packets built from their fields, with checksums by the definition: the oracle of the tests beside.

pub(crate) const FIN: u8 = 0x01;
pub(crate) const SYN: u8 = 0x02;
pub(crate) const PSH: u8 = 0x08;
pub(crate) const ACK: u8 = 0x10;
pub(crate) const URG: u8 = 0x20;
pub(crate) const ECE: u8 = 0x40;
pub(crate) const CWR: u8 = 0x80;

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tcp {
    pub(crate) v6: bool,
    pub(crate) port: u16,
    pub(crate) traffic_class: u8,
    pub(crate) flow_label: u32,
    pub(crate) id: u16,
    pub(crate) dont_fragment: bool,
    pub(crate) hop_limit: u8,
    pub(crate) sequence: u32,
    pub(crate) acknowledgment: u32,
    /// The four bits beside the header's length.
    pub(crate) reserved: u8,
    pub(crate) flags: u8,
    pub(crate) window: u16,
    pub(crate) urgent: u16,
    /// A multiple of four bytes, at most 40.
    pub(crate) options: Vec<u8>,
    pub(crate) payload: Vec<u8>,
}

pub(crate) const SEGMENT: Tcp = Tcp {
    v6: false,
    port: 443,
    traffic_class: 2,
    flow_label: 0xabcde,
    id: 100,
    dont_fragment: true,
    hop_limit: 64,
    sequence: 1000,
    acknowledgment: 77,
    reserved: 0,
    flags: ACK,
    window: 512,
    urgent: 0,
    options: Vec::new(),
    payload: Vec::new(),
};

impl Tcp {
    pub(crate) fn build(&self) -> Vec<u8> {
        let transport_len = 20 + self.options.len() + self.payload.len();
        let (mut ip, pseudo) = if self.v6 {
            self.ipv6(transport_len)
        } else {
            self.ipv4(transport_len)
        };
        let mut tcp = vec![];
        tcp.extend(self.port.to_be_bytes());
        tcp.extend(50_000_u16.to_be_bytes());
        tcp.extend(self.sequence.to_be_bytes());
        tcp.extend(self.acknowledgment.to_be_bytes());
        tcp.push(((20 + self.options.len()) / 4 * 16) as u8 | self.reserved);
        tcp.push(self.flags);
        tcp.extend(self.window.to_be_bytes());
        tcp.extend([0, 0]);
        tcp.extend(self.urgent.to_be_bytes());
        tcp.extend(&self.options);
        tcp.extend(&self.payload);
        let sum = checksum(&[pseudo, tcp.clone()].concat());
        tcp[16..18].copy_from_slice(&sum.to_be_bytes());
        ip.extend(tcp);
        ip
    }

    fn ipv4(&self, transport_len: usize) -> (Vec<u8>, Vec<u8>) {
        self.ipv4_before(6, transport_len)
    }

    fn ipv6(&self, transport_len: usize) -> (Vec<u8>, Vec<u8>) {
        self.ipv6_before(6, transport_len)
    }

    fn ipv4_before(&self, protocol: u8, transport_len: usize) -> (Vec<u8>, Vec<u8>) {
        let mut header = vec![0x45, self.traffic_class];
        header.extend(((20 + transport_len) as u16).to_be_bytes());
        header.extend(self.id.to_be_bytes());
        header.extend([
            if self.dont_fragment { 0x40 } else { 0 },
            0,
            self.hop_limit,
            protocol,
            0,
            0,
        ]);
        let addresses = [192, 0, 2, 1, 198, 51, 100, 2];
        header.extend(addresses);
        let sum = checksum(&header);
        header[10..12].copy_from_slice(&sum.to_be_bytes());
        let pseudo = [
            &addresses[..],
            &[0, protocol],
            &(transport_len as u16).to_be_bytes(),
        ]
        .concat();
        (header, pseudo)
    }

    fn ipv6_before(&self, protocol: u8, transport_len: usize) -> (Vec<u8>, Vec<u8>) {
        let first = 6 << 28 | u32::from(self.traffic_class) << 20 | self.flow_label;
        let mut header = first.to_be_bytes().to_vec();
        header.extend((transport_len as u16).to_be_bytes());
        header.extend([protocol, self.hop_limit]);
        let addresses: Vec<u8> = (0..32).map(|i| i * 7 + 1).collect();
        header.extend(&addresses);
        let pseudo = [
            &addresses[..],
            &(transport_len as u32).to_be_bytes(),
            &[0, 0, 0, protocol],
        ]
        .concat();
        (header, pseudo)
    }
}

/// A UDP datagram: of the fields of [`Tcp`] those of the IP header, port and payload count.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Udp {
    pub(crate) id: u16,
    pub(crate) payload: Vec<u8>,
    pub(crate) rest: Tcp,
}

impl Udp {
    pub(crate) fn of(fields: &Tcp) -> Self {
        Self {
            id: fields.id,
            payload: fields.payload.clone(),
            rest: Tcp {
                options: vec![],
                payload: vec![],
                ..fields.clone()
            },
        }
    }

    pub(crate) fn build(&self) -> Vec<u8> {
        let len = 8 + self.payload.len();
        let fields = Tcp {
            id: self.id,
            ..self.rest.clone()
        };
        let (mut ip, pseudo) = if fields.v6 {
            fields.ipv6_before(17, len)
        } else {
            fields.ipv4_before(17, len)
        };
        let mut udp = vec![];
        udp.extend(fields.port.to_be_bytes());
        udp.extend(50_000_u16.to_be_bytes());
        udp.extend((len as u16).to_be_bytes());
        udp.extend([0, 0]);
        udp.extend(&self.payload);
        let sum = match checksum(&[pseudo, udp.clone()].concat()) {
            0 => 0xffff,
            sum => sum,
        };
        udp[6..8].copy_from_slice(&sum.to_be_bytes());
        ip.extend(udp);
        ip
    }
}

/// RFC 1071 to the letter.
pub(crate) fn checksum(bytes: &[u8]) -> u16 {
    let mut sum = 0_u16;
    for pair in bytes.chunks(2) {
        let (wrapped, carry) = sum.overflowing_add(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)]));
        sum = wrapped + u16::from(carry);
    }
    !sum
}

/// Different at every offset, so that nothing can be swapped unseen.
pub(crate) fn payload(seed: usize, len: usize) -> Vec<u8> {
    (0..len)
        .map(|i| ((seed + i).wrapping_mul(0x9e37_79b1) >> 11) as u8)
        .collect()
}
