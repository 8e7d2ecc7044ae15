//! Domains made at random, of what matters for locks and of what is written in many ways.

use std::path::PathBuf;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::harness::{Outcome, skipped};
use crate::oracle::{Answer, ask, directory, ours, setups, status_file};

const DOMAINS: usize = 600;

pub fn all() -> Outcome {
    let dir = directory("generated-domains");
    let leases = directory("generated-leases");
    // The same domains in each run, so that what fails once can be looked at.
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let (documents, domains): (Vec<String>, Vec<PathBuf>) = (0..DOMAINS)
        .map(|number| {
            let xml = domain().new_tree(&mut runner).unwrap().current();
            let path = dir.join(format!("{number}.xml"));
            status_file(&path, &xml);
            (xml, path)
        })
        .unzip();
    let mut counts = [0_usize; 3];
    let mut wrong = Vec::new();
    for (driver, conf) in setups(&leases) {
        let session = match ask(driver, conf.as_bytes(), &domains) {
            Ok(session) => session,
            Err(why) => return skipped(why),
        };
        assert_eq!(session.answers.len(), domains.len(), "{conf}");
        for (((theirs, why), path), xml) in session.answers.iter().zip(&domains).zip(&documents) {
            let (ours, our_why) = ours(driver, conf.as_bytes(), path);
            counts[match theirs {
                Answer::Started(_) => 0,
                Answer::Failed => 1,
                Answer::Unparsed => 2,
            }] += 1;
            if ours != *theirs {
                wrong.push(format!(
                    "{xml}\nwith {driver:?}, {conf:?}:\n  libvirt: {theirs:?} {why}\n  ours: {ours:?} {our_why}"
                ));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} differ:\n{}",
        wrong.len(),
        wrong[..wrong.len().min(5)].join("\n")
    );
    let [started, failed, unparsed] = counts;
    println!(
        "measured: {DOMAINS} generated domains: {started} answers alike, {failed} refused alike, {unparsed} unparsed alike"
    );
    // Each kind of answer must have been there for the comparison to mean something.
    assert!(
        started > 1000 && failed > 100 && unparsed > 100,
        "{counts:?}"
    );
    let _ = std::fs::remove_dir_all(leases);
    Outcome::Passed
}

fn domain() -> impl Strategy<Value = String> {
    let on_failure = option::weighted(
        0.4,
        prop_oneof![
            6 => select(vec!["poweroff", "pause", "default"]),
            2 => select(vec!["restart", "ignore"]),
            1 => select(vec!["", "destroy", " pause"]),
        ],
    );
    // Seldom something that makes the whole domain unreadable.
    let oddity = prop_oneof![
        60 => Just(""),
        1 => Just("<open>"),
        1 => Just("<a b='1' b='2'/>"),
        1 => Just("&unknown;"),
        1 => Just("<a b=1/>"),
        1 => Just("<a b='<'/>"),
        1 => Just("]]>"),
        1 => Just("\u{1}"),
        1 => Just("&#1;"),
        1 => Just("<1/>"),
        1 => Just("<!-- a -- b -->"),
        1 => Just("<devices xmlns='other'><disk><source file='/x'/></disk></devices>"),
        1 => Just("<devices/><description><disk/></description>"),
    ];
    let devices = vec(prop_oneof![5 => disk(), 2 => lease()], 0..6);
    let many = vec(prop_oneof![1 => disk(), 1 => lease()], 7..11);
    (
        prop_oneof![8 => devices, 1 => many],
        on_failure,
        oddity,
        any::<bool>(),
    )
        .prop_map(|(devices, on_failure, oddity, is_split)| {
            let on_failure = on_failure.map_or(String::new(), |action| format!("<on_lockfailure>{action}</on_lockfailure>"));
            let between = if is_split { "</devices><devices>" } else { "" };
            let half = devices.len() / 2;
            let (first, second) = (devices[..half].concat(), devices[half..].concat());
            format!(
                "<domain type='qemu' id='1'><name>guest</name><uuid>c7a5fdbd-edaf-9455-926a-d65c16db1809</uuid>\
                 <memory>219136</memory><vcpu>1</vcpu><os><type arch='x86_64'>hvm</type></os>{on_failure}\
                 <devices>{first}{between}{second}</devices>{oddity}</domain>"
            )
        })
}

fn disk() -> impl Strategy<Value = String> {
    let kind = prop_oneof![
        4 => Just(String::new()),
        30 => select(vec!["file", "block", "dir", "volume"]).prop_map(|kind| format!(" type='{kind}'")),
        1 => select(vec!["none", "File", "", "lvm"]).prop_map(|kind| format!(" type='{kind}'")),
    ];
    let device = prop_oneof![
        30 => Just(String::new()),
        20 => select(vec!["disk", "cdrom", "floppy", "lun"]).prop_map(|device| format!(" device=\"{device}\"")),
        1 => Just(" device='tape'".to_owned()),
    ];
    let parts = vec(
        prop_oneof![
            3 => Just("<readonly/>".to_owned()),
            3 => Just("<shareable/>".to_owned()),
            1 => Just("<readonly>no</readonly>".to_owned()),
            1 => Just("<driver name='qemu' type='qcow2'/>".to_owned()),
            1 => Just("<backingStore type='file'><format type='raw'/><source file='/base'/><readonly/></backingStore>".to_owned()),
            1 => Just("<!-- <readonly/> --><?pi <shareable/> ?>".to_owned()),
            1 => Just("<x:readonly xmlns:x='other'/>".to_owned()),
            1 => Just("<serial><shareable/></serial>".to_owned()),
            1 => source(),
        ],
        0..3,
    );
    (
        kind,
        device,
        option::weighted(0.9, source()),
        target(),
        parts,
    )
        .prop_map(|(kind, device, source, target, parts)| {
            let source = source.unwrap_or_default();
            let parts = parts.concat();
            format!("\n  <disk{kind}{device}>{source}{parts}{target}</disk>")
        })
}

/// With all attributes that any type of disk has.
fn source() -> impl Strategy<Value = String> {
    (path(), path(), select(vec!["", " pool='p' volume='v'"])).prop_map(|(file, dev, volume)| {
        format!("<source file={file} dev={dev} dir={dev}{volume}/>")
    })
}

fn path() -> impl Strategy<Value = String> {
    let path = prop_oneof![
        6 => "/[a-c]{1,3}(/[a-c :\\\\]{1,4}){0,2}",
        3 => "/dev/[a-c]{1,2}/[a-c]{1,2}",
        1 => Just("/devices/x".to_owned()),
        1 => Just(String::new()),
        1 => Just("relative".to_owned()),
        1 => "/[äöü€]{1,3}",
        1 => "/x{900,1100}",
    ];
    let odd = select(vec![
        "", "&amp;", "&lt;&gt;", "&#65;", "&#x20AC;", "\t", "\n", "\r\n", "&#10;", "&quot;", " ",
    ]);
    (path, odd, any::<bool>()).prop_map(|(path, odd, is_single)| {
        let quote = if is_single { '\'' } else { '"' };
        format!("{quote}{path}{odd}{quote}")
    })
}

fn target() -> impl Strategy<Value = String> {
    let bus = prop_oneof![
        1 => Just(String::new()),
        2 => select(vec!["virtio", "scsi", "ide", "usb"]).prop_map(|bus| format!(" bus='{bus}'")),
    ];
    (select(vec!["vd", "sd", "hd"]), "[a-c]{1,2}", bus)
        .prop_map(|(prefix, letters, bus)| format!("<target dev='{prefix}{letters}'{bus}/>"))
}

fn lease() -> impl Strategy<Value = String> {
    let name = prop_oneof![
        30 => "[a-c:\\\\]{1,6}",
        1 => " [a-c] ",
        1 => "x{46,49}",
        1 => Just("<![CDATA[<a> &b]]>".to_owned()),
        1 => Just("a&amp;<b>c</b><!-- d -->".to_owned()),
        1 => Just(String::new()),
    ];
    let element = |tag: &'static str, name: BoxedStrategy<String>| {
        prop_oneof![
            60 => name.prop_map(move |name| format!("<{tag}>{name}</{tag}>")),
            1 => Just(String::new()),
            1 => Just(format!("<{tag}>first</{tag}><{tag}>second</{tag}>")),
        ]
    };
    let offset = prop_oneof![
        20 => Just(String::new()),
        10 => Just(" offset='0'".to_owned()),
        4 => select(vec!["1048576", " 5", "+7", "18446744073709551615", "007"]).prop_map(|offset| format!(" offset='{offset}'")),
        1 => select(vec!["-1", "0x10", "", "1 ", "18446744073709551616", "1k"]).prop_map(|offset| format!(" offset='{offset}'")),
    ];
    let target = prop_oneof![
        60 => (path(), offset).prop_map(|(path, offset)| format!("<target path={path}{offset}/>")),
        1 => Just("<target/>".to_owned()),
        1 => Just(String::new()),
    ];
    let name = name.boxed();
    (
        element("lockspace", name.clone()),
        element("key", name),
        target,
    )
        .prop_map(|(lockspace, key, target)| format!("\n  <lease>{lockspace}{key}{target}</lease>"))
}
