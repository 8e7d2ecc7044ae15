#!/usr/bin/python3
"""Records what the C sanlock writes: initial.txt and in_use.txt in this directory.

Needs /usr/sbin/sanlock (recorded with Debian's 3.8.5) and a file system with O_DIRECT for the
temporary directory. Takes half a minute. Timestamps, and so checksums, differ from run to run;
the tests read them from the files.

Format of the files: "area NAME SECTOR ALIGN" starts an area, all zeros but for what follows;
"sectors A-B" starts a content that all these sectors have; "OFFSET HEX" is 16 bytes of it.
"""

import os
import signal
import subprocess
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
GEOMETRIES = [(512, "1M"), (4096, "1M"), (4096, "2M"), (4096, "4M"), (4096, "8M")]


def size(text):
    return int(text.removesuffix("M")) << 20


def run(*command, **options):
    done = subprocess.run(("sanlock", *map(str, command)), text=True, stdout=subprocess.PIPE, **options)
    if done.returncode != 0:
        raise SystemExit(f"sanlock {command}: {done.stdout}")
    return done.stdout


def dump(out, name, path, offset, sector, align):
    """Writes one area of a file."""
    with open(path, "rb") as file:
        file.seek(offset)
        area = file.read(size(align)).ljust(size(align), b"\0")
    sectors = [area[at:at + sector] for at in range(0, len(area), sector)]
    print("area", name, sector, align, file=out)
    first = 0
    while first < len(sectors):
        last = first
        while last + 1 < len(sectors) and sectors[last + 1] == sectors[first]:
            last += 1
        if any(sectors[first]):
            print(f"sectors {first}-{last}", file=out)
            for at in range(0, sector, 16):
                line = sectors[first][at:at + 16]
                if any(line):
                    print(f"{at:03x} {line.hex()}", file=out)
        first = last + 1
    print(file=out)


def record_initial(directory):
    with open(HERE / "initial.txt", "w") as out:
        print("# Recorded by record.py: sanlock direct init, sanlock direct format", file=out)
        print("#", run("version").strip(), file=out)
        for sector, align in GEOMETRIES:
            path = directory / "disk"
            path.write_bytes(b"x" * 4 * size(align))
            shape = ("-Z", sector, "-A", align)
            at = [index * size(align) for index in range(4)]
            run("direct", "init", *shape, "-s", f"golden:0:{path}:{at[0]}", "-o", 17)
            run("direct", "init", *shape, "-r", f"golden:resource:{path}:{at[1]}", "-n", 9)
            dump(out, "lockspace", path, at[0], sector, align)
            dump(out, "resource", path, at[1], sector, align)
            run("direct", "init", *shape, "-r", f"golden:{'n' * 48}:{path}:{at[1]}", "-z", 1)
            dump(out, "cleared", path, at[1], sector, align)
            run("direct", "format", *shape, "-x", f"golden:{path}:{at[2]}")
            dump(out, "rindex", path, at[2], sector, align)
            dump(out, "rindex_lease", path, at[3], sector, align)


class Daemon:
    """A host."""

    def __init__(self, directory, name):
        self.run_dir = directory / name
        self.run_dir.mkdir()
        self.environment = dict(os.environ, SANLOCK_RUN_DIR=str(self.run_dir), SANLOCK_PRIVILEGED="0")
        command = ["sanlock", "daemon", "-D", "-w", "0", "-e", name]
        self.process = subprocess.Popen(command, env=self.environment, stderr=subprocess.DEVNULL)
        while not (self.run_dir / "sanlock.sock").exists():
            time.sleep(0.1)

    def client(self, *command):
        return run("client", *command, env=self.environment)

    def start(self, *command):
        command = ("sanlock", "client", "command", *map(str, command))
        return subprocess.Popen(command, env=self.environment, stdout=subprocess.DEVNULL)


def record_in_use(directory):
    """Two hosts, 1 and 2000, use a lockspace with io_timeout 1."""
    path = directory / "used"
    path.write_bytes(b"\0" * (8 << 20))
    at = [index << 20 for index in range(8)]
    exclusive = f"golden:exclusive:{path}:{at[1]}"
    shared = f"golden:shared:{path}:{at[2]}"
    released = f"golden:released:{path}:{at[3]}"
    run("direct", "init", "-s", f"golden:0:{path}:0", "-o", 1)
    for resource in (exclusive, shared, released):
        run("direct", "init", "-r", resource)
    index = f"golden:{path}:{at[4]}"
    run("direct", "format", "-x", index)

    one, two = Daemon(directory, "host-one"), Daemon(directory, "host-two")
    children = []
    try:
        adders = [
            subprocess.Popen(["sanlock", "client", "add_lockspace", "-s", f"golden:{host}:{path}:0",
                              "-o", "1"], env=daemon.environment, stdout=subprocess.DEVNULL)
            for daemon, host in ((one, 1), (two, 2000))
        ]
        for adder in adders:
            assert adder.wait() == 0
        time.sleep(4)
        sleep = ("-c", "/bin/sleep", "60")
        children.append(one.start("-r", exclusive, *sleep))
        children.append(one.start("-r", shared + ":SH", *sleep))
        time.sleep(2)
        children.append(two.start("-r", shared + ":SH", *sleep))
        two.start("-r", released, "-c", "/bin/true").wait()
        for name in ("first", "second", "third"):
            one.client("create", "-x", index, "-e", name)
        one.client("delete", "-x", index, "-e", "second")
        one.client("set_event", "-s", "golden", "-i", 2000, "-g", 1, "-e", 5, "-d", 7)
        time.sleep(3)
        two.client("request", "-r", f"{exclusive}:2", "-f", 2)
        with open(HERE / "in_use.txt", "w") as out:
            print("# Recorded by record.py: two hosts and what they hold", file=out)
            print("#", run("version").strip(), file=out)
            names = ("lockspace", "exclusive", "shared", "released", "rindex", "rindex_lease",
                     "first", "second")
            for name, offset in zip(names, at):
                dump(out, name, path, offset, 512, "1M")
    finally:
        for child in children:
            child.kill()
            child.wait()
        for daemon in (one, two):
            subprocess.run(["sanlock", "client", "shutdown", "-f", "1"], env=daemon.environment,
                           stdout=subprocess.DEVNULL)
            try:
                daemon.process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                daemon.process.send_signal(signal.SIGKILL)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        record_initial(Path(temporary))
        record_in_use(Path(temporary))
