//! The answer to `CLUSTER NODES`, line by line.

use std::fmt;
use std::str::FromStr;

use posthaste_protocol::Malformed;

use crate::slot::SLOTS;

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct NodeAddress {
    /// A name or an IP address; an IPv6 address without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl fmt::Display for NodeAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl FromStr for NodeAddress {
    type Err = Malformed;

    /// Reads `host:port`, `[::1]:port` and, as servers write it, `::1:port`. The host may be empty.
    fn from_str(text: &str) -> Result<Self, Malformed> {
        let (host, port) = text.rsplit_once(':').ok_or(Malformed::new("address of a server"))?;
        let port = port.parse().map_err(|_| Malformed::new("port of a server"))?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        Ok(Self { host: bare.to_owned(), port })
    }
}

impl NodeAddress {
    /// This address; an empty host is replaced by the host of the server that was asked.
    pub(crate) fn seen_from(mut self, requested: &Self) -> Self {
        if self.host.is_empty() {
            self.host.clone_from(&requested.host);
        }
        self
    }
}

/// One server, as another server (or itself) describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) id: String,
    pub(crate) address: NodeAddress,
    /// Its preferred host name, if it has one: certificates are issued for names.
    pub(crate) hostname: Option<String>,
    /// Whether this is the server that answered.
    pub(crate) myself: bool,
    pub(crate) primary: bool,
    /// The id of its primary, for a replica.
    pub(crate) replica_of: Option<String>,
    /// Most primaries agree that it is down (`fail`; not `fail?`, which is the suspicion of a single server).
    pub(crate) failed: bool,
    /// It can't be connected to yet, or any more.
    pub(crate) nowhere: bool,
    /// When two servers claim a slot, the higher epoch counts.
    pub(crate) epoch: u64,
    /// Ranges of slots, both ends included.
    pub(crate) slots: Vec<(u16, u16)>,
    /// Slots being moved from or to it. A server reports only its own.
    pub(crate) moving: Vec<u16>,
}

/// Parses an answer of the server at `requested`.
pub(crate) fn read(text: &str, requested: &NodeAddress) -> Result<Vec<Listed>, Malformed> {
    text.lines().filter(|line| !line.trim().is_empty()).map(|line| read_line(line, requested)).collect()
}

fn read_line(line: &str, requested: &NodeAddress) -> Result<Listed, Malformed> {
    let mut words = line.split_ascii_whitespace();
    let mut word = |what| words.next().ok_or(Malformed::new(what));
    let (id, place, flags) =
        (word("id of a server")?, word("address of a server")?, word("flags of a server")?);
    let primary_id = word("primary of a server")?;
    let (_ping, _pong, epoch) = (word("ping")?, word("pong")?, word("epoch of a server")?);
    let _link = word("link of a server")?;
    let (address, hostname) = read_place(place)?;
    let has = |flag: &str| flags.split(',').any(|word| word == flag);
    let (mut slots, mut moving) = (Vec::new(), Vec::new());
    for word in words {
        match word.strip_prefix('[').and_then(|word| word.strip_suffix(']')) {
            Some(mark) => moving.push(read_mark(mark)?),
            None => slots.push(read_range(word)?),
        }
    }
    Ok(Listed {
        id: id.to_owned(),
        address: address.seen_from(requested),
        hostname,
        myself: has("myself"),
        primary: has("master"),
        replica_of: (primary_id != "-").then(|| primary_id.to_owned()),
        failed: has("fail"),
        nowhere: has("noaddr") || has("handshake"),
        epoch: epoch.parse().map_err(|_| Malformed::new("epoch of a server"))?,
        slots,
        moving,
    })
}

/// `address@bus-port`, then after commas a host name (7.0) and more (`key=value`, 7.2).
fn read_place(place: &str) -> Result<(NodeAddress, Option<String>), Malformed> {
    let mut parts = place.split(',');
    let endpoint = parts.next().unwrap_or_default();
    let (endpoint, _bus) = endpoint.split_once('@').unwrap_or((endpoint, ""));
    let hostname = parts.next().filter(|name| !name.is_empty() && !name.contains('='));
    Ok((endpoint.parse()?, hostname.map(str::to_owned)))
}

fn read_slot(text: &str) -> Result<u16, Malformed> {
    text.parse().ok().filter(|slot| *slot < SLOTS).ok_or(Malformed::new("slot"))
}

fn read_range(word: &str) -> Result<(u16, u16), Malformed> {
    let (first, last) = word.split_once('-').unwrap_or((word, word));
    let (first, last) = (read_slot(first)?, read_slot(last)?);
    if first <= last { Ok((first, last)) } else { Err(Malformed::new("slots")) }
}

/// `93->-id` is being moved away, `77-<-id` is being moved here.
fn read_mark(mark: &str) -> Result<u16, Malformed> {
    let slot = mark.split_once("->-").or_else(|| mark.split_once("-<-"));
    read_slot(slot.ok_or(Malformed::new("mark of a slot"))?.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requested() -> NodeAddress {
        "10.0.0.9:7000".parse().unwrap()
    }

    #[test]
    fn every_form_of_line_is_read() {
        let text = "07c37df 127.0.0.1:30004@31004,hostname4 slave e7d1eec 0 1426238317239 4 connected\n\
            67ed2db 127.0.0.1:30002@31002,,shard-id=69bc080 master - 0 1426238316232 2 connected 5461-10922\n\
            292f8b3 db.example:30003@31003,db3.example,shard-id=ab master,fail - 0 14 3 disconnected 10923-16382 16383\n\
            6ec2392 ::1:30005@31005 master,fail? - 0 14 5 connected\n\
            824fe11 :0@0 master,noaddr - 0 14 6 disconnected\n\
            e7d1eec :30001@31001,h myself,master - 0 0 1 connected 0-5460 [93->-292f8b3] [77-<-67ed2db]\n";
        let listed = read(text, &requested()).unwrap();
        assert_eq!(listed.len(), 6);
        let [replica, plain, failed, ipv6, nowhere, myself] = &listed[..] else { panic!("{listed:?}") };
        assert_eq!((replica.primary, replica.replica_of.as_deref()), (false, Some("e7d1eec")));
        assert_eq!(replica.hostname.as_deref(), Some("hostname4"));
        assert_eq!((plain.primary, plain.hostname.as_deref(), plain.epoch), (true, None, 2));
        assert_eq!(plain.slots, [(5461, 10922)]);
        assert!(failed.failed && failed.hostname.as_deref() == Some("db3.example"));
        assert_eq!(failed.slots, [(10923, 16382), (16383, 16383)]);
        assert_eq!((ipv6.address.to_string(), ipv6.failed), ("[::1]:30005".to_owned(), false));
        assert!(nowhere.nowhere);
        assert!(myself.myself);
        assert_eq!(myself.address.to_string(), "10.0.0.9:30001");
        assert_eq!(myself.moving, [93, 77]);
    }

    #[test]
    fn addresses_are_read_as_they_are_shown() {
        for text in ["10.0.0.1:7000", "[fe80::1]:7000", "db-1.example:7000"] {
            assert_eq!(text.parse::<NodeAddress>().unwrap().to_string(), text);
        }
        assert_eq!("fe80::1:7000".parse::<NodeAddress>().unwrap(), "[fe80::1]:7000".parse().unwrap());
        assert!("7000".parse::<NodeAddress>().is_err());
        assert!("h:70000".parse::<NodeAddress>().is_err());
    }

    #[test]
    fn invalid_lines_are_refused_and_nothing_panics() {
        let good = "a 127.0.0.1:1@2 myself,master - 0 0 1 connected 0-5460 [93->-b]";
        assert!(read(good, &requested()).is_ok());
        for end in 0..good.len() {
            // Cut anywhere: either an error or a shorter list of slots.
            let _ = read(&good[..end], &requested());
        }
        for bad in ["0-16384", "9-8", "x", "[93]", "[x->-b]", "-5", "1-2-3"] {
            let line = format!("a 127.0.0.1:1@2 master - 0 0 1 connected {bad}");
            assert!(read(&line, &requested()).is_err(), "{bad}");
        }
        assert!(read("a nowhere master - 0 0 1 connected", &requested()).is_err());
        assert!(read("a h:1@2 master - 0 0 x connected", &requested()).is_err());
    }
}
