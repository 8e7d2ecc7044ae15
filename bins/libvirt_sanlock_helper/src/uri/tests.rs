use super::*;

fn root() -> Surroundings {
    Surroundings {
        root: true,
        user_run: Some("/run/user/7/libvirt".into()),
        default_uri: None,
        exists: |_| false,
    }
}

fn target(uri: &str, here: &Surroundings) -> Target {
    Target::of(uri, here).unwrap_or_else(|error| panic!("{uri}: {error}"))
}

fn refusal(uri: &str) -> String {
    Target::of(uri, &root()).unwrap_err().to_string()
}

#[test]
fn the_daemon_for_all_or_the_one_for_this() {
    let both = Surroundings {
        exists: |path| path == Path::new("/run/libvirt/virtqemud-sock"),
        ..root()
    };
    for (uri, here, socket) in [
        ("qemu:///system", &root(), "libvirt-sock"),
        ("qemu:///system", &both, "virtqemud-sock"),
        ("lxc:///system", &both, "libvirt-sock"),
        ("qemu:///system?mode=legacy", &both, "libvirt-sock"),
        ("qemu:///system?mode=direct", &root(), "virtqemud-sock"),
        ("qemu+unix:///system", &both, "virtqemud-sock"),
        ("", &both, "libvirt-sock"),
    ] {
        let target = target(uri, here);
        assert_eq!(target.socket, Path::new(RUN).join(socket), "{uri}");
        assert_eq!(target.shown_socket, format!("{RUN_SHOWN}/{socket}"));
    }
}

#[test]
fn sessions_are_the_users() {
    let user = Surroundings {
        root: false,
        ..root()
    };
    let own = Path::new("/run/user/7/libvirt/libvirt-sock");
    assert_eq!(target("qemu:///session", &user).socket, own);
    assert_eq!(target("", &user).socket, own);
    let system = Path::new("/run/libvirt/libvirt-sock");
    assert_eq!(target("qemu:///system", &user).socket, system);
    assert_eq!(target("qemu:///session", &root()).socket, system);
}

#[test]
fn what_the_server_opens() {
    for (uri, name) in [
        ("qemu:///system", "qemu:///system"),
        ("qemu:/system", "qemu:///system"),
        ("qemu+unix:///session?socket=/a&no_tty=1", "qemu:///session"),
        (
            "qemu:///system?x=a%20b;mode=auto&y",
            "qemu:///system?x=a%20b&y=",
        ),
        ("qemu:///a%2fb%20c#f", "qemu:///a/b%20c#f"),
        ("qemu:///system?name=vz:///system", "vz:///system"),
        ("remote+unix:///", ""),
        ("xen", "xen:///system"),
        ("", ""),
    ] {
        assert_eq!(target(uri, &root()).name, name, "{uri}");
    }
    let default = Surroundings {
        default_uri: Some("lxc:///system".to_owned()),
        ..root()
    };
    assert_eq!(target("", &default).name, "lxc:///system");
}

#[test]
fn parameters_of_the_way_there() {
    let uri = "qemu:///system?socket=/s%2Fx&auth=sasl.PLAIN&authfile=/a";
    let target = target(uri, &root());
    assert_eq!(target.socket, Path::new("/s/x"));
    assert_eq!(target.auth.as_deref(), Some("sasl.PLAIN"));
    assert_eq!(target.auth_file.as_deref(), Some(Path::new("/a")));
}

#[test]
fn refusals() {
    for (uri, wanted) in [
        ("nonsense", "URI 'nonsense' does not include a driver name"),
        ("qemu://system", "maybe you want qemu:///system"),
        (
            "qemu+unix://h/system",
            "remote server 'h' is not supported.",
        ),
        ("qemu+foo:///system", "transport in URL not recognised"),
        (
            "qemu+ssh://h/system",
            "only talks to libvirt on a local socket",
        ),
        ("qemu://[::1]/system", "reached by tls"),
        ("test:///default", "within the process"),
        ("qemu:///system?mode=foo", "Unknown remote mode 'foo'"),
        ("qemu:///%zz", "Unable to parse URI qemu:///%zz"),
        ("qemu:/// x", "Unable to parse URI"),
    ] {
        let text = refusal(uri);
        assert!(text.contains(wanted), "{uri}: {text}");
    }
}
