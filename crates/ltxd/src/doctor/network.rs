//! The ports that a node listens on.
//!
//! Must not know what is spoken there. Nothing listens meanwhile: a node that starts at that moment gets its ports.

use super::{Findings, data::Folder};
use crate::config::NodeConfig;
use std::{
    io::{self, ErrorKind},
    net::{IpAddr, SocketAddr},
};
use tokio::net::TcpSocket;

pub(super) fn look(findings: &mut Findings<'_>, config: &NodeConfig, folder: Folder) {
    let addresses = &config.addresses;
    let keys = [("listen", Some(addresses.listen)), ("metrics_listen", addresses.metrics_listen)];
    let mut before: Vec<SocketAddr> = Vec::new();
    for (key, address) in keys.into_iter().filter_map(|(key, address)| Some((key, address?))) {
        let said = format!("{key} = {address}");
        if before.iter().any(|other| clash(*other, address)) {
            findings.error(format!("{said}: is the port of listen as well"), format!("set {key} to another port"));
            continue;
        }
        before.push(address);
        match bound(address) {
            Ok(_) => findings.fine(format!("{said}: is free")),
            Err(error) if error.kind() == ErrorKind::AddrInUse && folder == Folder::Running => {
                findings.fine(format!("{said}: in use, as a node runs in the data folder"));
            }
            Err(error) => findings.error(format!("{said}: {}", why(&error)), remedy(key, address, &error)),
        }
    }
    if addresses.listen.ip().to_canonical().is_loopback()
        || (config.server.listen.tls.is_some() && !config.clients.is_empty())
    {
        return;
    }
    let what = format!(
        "listen = {}: anybody who reaches it may use the node, and read along (allow_insecure)",
        addresses.listen
    );
    findings.warn(what, "set tokens_file, tls.cert and tls.key, or keep the port behind something that has them");
}

/// A socket that has the address and does not listen there, which keeps no node from it.
fn bound(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// Whether one process cannot listen on both.
fn clash(one: SocketAddr, other: SocketAddr) -> bool {
    let covers = |wide: IpAddr, ip: IpAddr| match wide {
        _ if wide == ip => true,
        IpAddr::V4(wide) => wide.is_unspecified() && ip.is_ipv4(),
        // Of both kinds, unless the system says otherwise.
        IpAddr::V6(wide) => wide.is_unspecified(),
    };
    one.port() != 0 && one.port() == other.port() && (covers(one.ip(), other.ip()) || covers(other.ip(), one.ip()))
}

fn why(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::AddrInUse => "another program listens there".to_owned(),
        ErrorKind::AddrNotAvailable => "this machine has no such address".to_owned(),
        ErrorKind::PermissionDenied => "this user may not listen on a port below 1024".to_owned(),
        _ => error.to_string(),
    }
}

fn remedy(key: &str, address: SocketAddr, error: &io::Error) -> String {
    let port = address.port();
    match error.kind() {
        ErrorKind::AddrInUse => {
            format!("see who does (ss -ltnp 'sport = :{port}') and end it, or set {key} to another port")
        }
        ErrorKind::AddrNotAvailable => format!("set {key} to an address that `ip address` lists, or to 0.0.0.0:{port}"),
        ErrorKind::PermissionDenied => {
            format!("set {key} to a port from 1024 on, or give the unit CAP_NET_BIND_SERVICE")
        }
        _ => format!("set {key} to another address"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn a_node_gets_a_port_that_is_being_looked_at() {
        let looked_at = bound("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = looked_at.local_addr().unwrap();
        bound(address).expect("another doctor looks at it, too");
        let _node = TcpListener::bind(address).unwrap();
        assert_eq!(bound(address).unwrap_err().kind(), ErrorKind::AddrInUse);
    }

    #[test]
    fn addresses_clash_where_one_covers_the_other() {
        let clash = |one: &str, other: &str| {
            let [one, other] = [one, other].map(|address| address.parse().unwrap());
            assert_eq!(clash(one, other), clash(other, one));
            clash(one, other)
        };
        assert!(clash("127.0.0.1:1", "127.0.0.1:1") && clash("0.0.0.0:1", "127.0.0.1:1"));
        assert!(clash("[::]:1", "127.0.0.1:1") && clash("[::]:1", "[::1]:1"));
        assert!(!clash("127.0.0.1:1", "127.0.0.1:2") && !clash("127.0.0.1:1", "127.0.0.2:1"));
        assert!(!clash("0.0.0.0:1", "[::1]:1") && !clash("127.0.0.1:0", "127.0.0.1:0"));
    }
}
