//! What is read, and what is not.

use std::io::Read as _;
use std::path::Path;

use config::qemu_lockd_conf::QemuLockdConf;
use config::qemu_sanlock_conf::QemuSanlockConf;

use super::*;

fn domain(devices: &str) -> Domain {
    let xml = format!("<domain><name>g</name><devices>{devices}</devices></domain>");
    Domain::parse(Path::new("d"), xml.as_bytes()).unwrap_or_else(|wrong| panic!("{wrong}"))
}

fn wrong(xml: impl AsRef<[u8]>) -> config::Diagnostic {
    match Domain::parse(Path::new("d"), xml.as_ref()) {
        Ok(domain) => panic!("{domain:?}"),
        Err(wrong) => *wrong,
    }
}

#[test]
fn a_disk_and_a_lease() {
    let domain = domain(
        "<disk><source file='/images/a'/><target dev='vda'/></disk>\
         <lease><lockspace>ls</lockspace><key>k</key><target path='/leases' offset='1048576'/></lease>",
    );
    let by_hand = QemuSanlockConf::default();
    let automatic = QemuSanlockConf {
        auto_disk_leases: true,
        ..by_hand.clone()
    };
    let lease = sanlock::Lease {
        lockspace: "ls".to_owned(),
        name: "k".to_owned(),
        path: "/leases".into(),
        offset: 1 << 20,
        shared: false,
    };
    assert_eq!(
        sanlock::leases(&domain, &by_hand, &System).unwrap(),
        std::slice::from_ref(&lease)
    );
    let both = sanlock::leases(&domain, &automatic, &System).unwrap();
    // printf /images/a | md5sum
    let sum = "66af8da8112c11f5d4be0cbe946c4c14";
    assert_eq!(both[0], lease);
    assert_eq!(
        (both[1].lockspace.as_str(), both[1].name.as_str()),
        ("__LIBVIRT__DISKS__", sum)
    );
    assert_eq!(
        both[1].path,
        Path::new("/var/lib/libvirt/sanlock").join(sum)
    );
    let refused = lockd::locks(&domain, &QemuLockdConf::default(), &System);
    assert!(matches!(
        refused,
        Err(Refusal::Offset {
            offset: 0x10_0000,
            ..
        })
    ));
}

#[test]
fn a_volume_is_what_the_host_says() {
    struct Pools;
    impl Host for Pools {
        fn lvm_uuid(&self, _path: &str) -> std::io::Result<Option<std::ffi::OsString>> {
            Err(std::io::Error::other("no"))
        }
        fn scsi_id(&self, _path: &str) -> std::io::Result<Option<std::ffi::OsString>> {
            Ok(None)
        }
        fn volume(&self, pool: &str, volume: &str) -> Option<Volume> {
            match pool {
                "local" => Some(Volume::Local(format!("/pool/{volume}"))),
                "remote" => Some(Volume::Remote),
                _ => None,
            }
        }
    }
    let disk = |pool: &str| {
        domain(&format!(
            "<disk type='volume'><source pool='{pool}' volume='v'/></disk>"
        ))
    };
    let conf = QemuLockdConf::default();
    let locks = lockd::locks(&disk("local"), &conf, &Pools).unwrap();
    assert_eq!(locks[0].name, "/pool/v");
    assert_eq!(lockd::locks(&disk("remote"), &conf, &Pools).unwrap(), []);
    assert!(matches!(
        lockd::locks(&disk("other"), &conf, &Pools),
        Err(Refusal::Volume { .. })
    ));
    let sanlock = sanlock::leases(&disk("other"), &QemuSanlockConf::default(), &Pools);
    assert!(matches!(sanlock, Err(Refusal::Volume { .. })));
    let conf = QemuLockdConf {
        lvm_lockspace_dir: Some("/l".into()),
        ..conf
    };
    let device = domain("<disk type='block'><source dev='/dev/x'/></disk>");
    assert!(matches!(
        lockd::locks(&device, &conf, &Pools),
        Err(Refusal::Key { .. })
    ));
}

#[test]
fn bombs_are_not_read() {
    let mut bomb = "<?xml version='1.0'?>\n<!DOCTYPE b [\n<!ENTITY a0 'ha'>\n".to_owned();
    for number in 1..40 {
        let before = number - 1;
        bomb.push_str(&format!("<!ENTITY a{number} '&a{before};&a{before};'>\n"));
    }
    bomb.push_str("]>\n<domain><name>&a39;</name></domain>");
    let found = wrong(&bomb);
    assert_eq!((found.line, found.column), (2, 1));
    assert!(found.message.contains("document type"), "{found}");
    assert!(
        wrong("<!DOCTYPE d SYSTEM 'file:///etc/passwd'><domain/>")
            .message
            .contains("document type")
    );
    assert!(
        wrong("<domain><name>&x;</name></domain>")
            .message
            .contains("&x;")
    );

    let deep = "<domain>".repeat(300);
    assert!(wrong(deep).message.contains("256 elements"));
    let attributes: String = (0..300).map(|number| format!(" a{number}='x'")).collect();
    assert!(
        wrong(format!("<domain{attributes}/>"))
            .message
            .contains("256 attributes")
    );
    let disks = "<disk/>".repeat(5000);
    let many = format!("<domain><name>g</name><devices>{disks}</devices></domain>");
    assert!(wrong(many).message.contains("4096"));
}

#[test]
fn a_long_document_is_not_read_to_its_end() {
    struct Counted(u64);
    impl std::io::Read for Counted {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            self.0 += buffer.len() as u64;
            buffer.fill(b' ');
            Ok(buffer.len())
        }
    }
    let mut endless = Counted(0);
    let read = Domain::read(Path::new("d"), endless.by_ref());
    assert!(matches!(read, Err(ReadError::TooLong { .. })));
    assert!(endless.0 < 4 * MAX_DOCUMENT, "{} bytes", endless.0);
    // As long as may be.
    let piece = "<a b='c'>d</a>";
    let most = usize::try_from(MAX_DOCUMENT).unwrap() / piece.len() - 10;
    let xml = format!("<domain><name>g</name>{}</domain>", piece.repeat(most));
    assert!(Domain::parse(Path::new("d"), xml.as_bytes()).is_ok());
}

#[test]
fn encodings_that_are_not_utf_8_are_named() {
    let utf_16: Vec<u8> = "<domain/>"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    assert!(wrong(&utf_16).message.contains("UTF-16"));
    assert!(
        wrong([&[0xff, 0xfe][..], &utf_16].concat())
            .message
            .contains("UTF-16")
    );
    let found = wrong(b"<domain>\n<name>\xe4</name></domain>");
    assert_eq!((found.line, found.column), (2, 7));
    let latin = "<?xml version='1.0' encoding='iso-8859-1'?><domain><name>g</name></domain>";
    assert!(wrong(latin).message.contains("ISO-8859-1"));
    let marked =
        "\u{feff}<?xml version='1.0' encoding='utf-8'?>\r\n<domain><name>a\r\nb</name></domain>";
    assert_eq!(
        Domain::parse(Path::new("d"), marked.as_bytes())
            .unwrap()
            .name,
        "a\nb"
    );
}

#[test]
fn what_is_no_domain_is_named_with_its_place() {
    for (xml, place, message) in [
        ("", (1, 1), "no element"),
        ("\n\nguest", (3, 1), "no XML"),
        ("<network/>", (1, 1), "no domain"),
        ("<domstatus/>", (1, 1), "no <domain>"),
        ("<domain/>", (1, 1), "no <name>"),
        ("<domain>\n<name>g</domain>", (2, 8), "not well-formed"),
        (
            "<domain>\n<name>g</name>",
            (2, 15),
            "ends within an element",
        ),
        (
            "<domain><name>g</name></domain>\n<domain/>",
            (2, 1),
            "second one",
        ),
        (
            "<domain><name>g</name></domain>\nx",
            (2, 1),
            "behind the document's end",
        ),
        (
            "<domain><name>g</name>\n<devices><lease/></devices></domain>",
            (2, 10),
            "no <key>",
        ),
        (
            "<domain><name>g</name>\n<devices><disk type='x'/></devices></domain>",
            (2, 10),
            "type of this disk",
        ),
        (
            "<domain><name>g</name>\n<on_lockfailure>x</on_lockfailure></domain>",
            (2, 1),
            "does not know this action",
        ),
    ] {
        let found = wrong(xml);
        assert!(
            found.message.contains(message),
            "{xml:?}: {}",
            found.message
        );
        assert_eq!((found.line, found.column), place, "{xml:?}");
    }
    assert!(matches!(
        Domain::load(Path::new("/nonexistent")),
        Err(ReadError::Read { .. })
    ));
}

proptest::proptest! {
    #[test]
    fn no_text_makes_it_fall(pieces in proptest::collection::vec(proptest::sample::select(PIECES), 0..30)) {
        let _ = Domain::parse(Path::new("d"), pieces.concat().as_bytes());
    }

    #[test]
    fn no_bytes_make_it_fall(bytes: Vec<u8>) {
        let _ = Domain::parse(Path::new("d"), &bytes);
    }
}

const PIECES: &[&str] = &[
    "<domain>",
    "</domain>",
    "<devices>",
    "</devices>",
    "<disk ",
    "<disk>",
    "</disk>",
    "<lease>",
    "</lease>",
    "<key>",
    "</key>",
    "<source",
    " file=",
    "'",
    "\"",
    "/>",
    ">",
    "<",
    "&",
    ";",
    "&#x",
    "lt",
    "<![CDATA[",
    "]]>",
    "<!--",
    "-->",
    "<?xml",
    "?>",
    "<!DOCTYPE",
    "xmlns='a'",
    "a",
    "\u{e4}",
    "\r",
    "\n",
    "=",
    "/",
    "<name>g</name>",
    "<domstatus>",
];
