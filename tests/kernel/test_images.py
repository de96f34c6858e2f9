"""Images that other people's tools made, and ours as those tools read them."""

import json
import os
import resource
import shutil
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import nsbox
from nsbox import BoxSpec, Image, ImageError, RootFS
from nsbox.image import Store

pytestmark = pytest.mark.usefixtures("root")

SNAPSHOT = Path(__file__).parents[1] / "snapshot.py"
DEBIAN = Path(os.environ.get("NSBOX_DEBIAN_TREE", "/var/cache/nsbox-ci/debian"))
CAPABILITY = bytes.fromhex("0100000200200000000000000000000000000000")
"""cap_net_raw, as a file has it. See capabilities(7)."""

Tree = dict[str, Any]


def tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"needs {name} (Debian: {name})")
    return found


def call(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def snapshot(folder: Path) -> Tree:
    found: Tree = json.loads(call(sys.executable, SNAPSHOT, folder))
    return found


def mounted(layers: Sequence[str], point: Path) -> Tree:
    """The tree of layers as an overlay mount of mount(8) shows it."""
    point.mkdir()
    if len(layers) == 1:
        return snapshot(Path(layers[0]))
    options = "lowerdir=" + ":".join(reversed(layers))
    found: Tree = json.loads(
        call("unshare", "--mount", sys.executable, str(SNAPSHOT), str(point), options)
    )
    return found


def in_store(image: Image, tmp_path: Path) -> Tree:
    with image:
        layers = image.unpacked(store=tmp_path / "store")
        return mounted([layer.path for layer in layers], tmp_path / "point")


def by_umoci(layout: Path, tag: str, bundle: Path) -> Tree:
    call(tool("umoci"), "unpack", "--image", f"{layout}:{tag}", bundle)
    return snapshot(bundle / "rootfs")


@pytest.fixture
def tree(tmp_path: Path, busybox: str) -> Path:
    """A tree with one of everything."""
    root = tmp_path / "tree"
    for name in ("bin", "etc", "dev", "srv/deep/er", "tmp", "closed", "home/user"):
        (root / name).mkdir(parents=True)
    shutil.copy(busybox, root / "bin/busybox")
    (root / "bin/sh").symlink_to("busybox")
    (root / "bin/setuid").write_bytes(b"#!\n")
    os.chmod(root / "bin/setuid", 0o4755)
    os.link(root / "bin/setuid", root / "srv/another-name")
    (root / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\nuser:x:1234:1235::/home/user:\n")
    (root / "etc/group").write_text("root:x:0:\nuser:x:1235:\nweb:x:33:\n")
    (root / "etc/empty").touch()
    (root / "srv/absolute").symlink_to("/etc/passwd")
    (root / "srv/dangling").symlink_to("no/where")
    (root / "srv" / ("long-" * 40)).write_text("a long name\n")
    (root / "srv/größe ☃").write_text("not ASCII\n")
    with open(root / "srv/sparse", "wb") as file:
        file.truncate(3 << 20)
        file.seek(1 << 20)
        file.write(b"in the middle")
    os.mkfifo(root / "srv/fifo")
    os.mknod(root / "dev/null", 0o666 | 0o020000, os.makedev(1, 3))
    os.mknod(root / "dev/disk", 0o660 | 0o060000, os.makedev(7, 0))
    os.setxattr(root / "bin/busybox", "security.capability", CAPABILITY)
    os.setxattr(root / "etc/empty", "user.note", b"\0\1binary\xff")
    os.setxattr(root / "srv/deep", "user.note", b"of a folder")
    os.chown(root / "home/user", 1234, 1235)
    os.chown(root / "srv/dangling", 1234, 1235, follow_symlinks=False)
    os.chmod(root / "tmp", 0o1777)
    os.chmod(root / "closed", 0o500)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(root / "srv/socket"))
    for number, path in enumerate(sorted(root.rglob("*"))):
        os.utime(path, ns=(0, 10**18 + number * 1_000_000_007), follow_symlinks=False)
    os.utime(root, ns=(0, 10**18 + 5))
    return root


def without_socket(found: Tree) -> Tree:
    return {name: facts for name, facts in found.items() if name != "./srv/socket"}


def same(one: Tree, other: Tree) -> None:
    assert one.keys() == other.keys()
    for name in one:
        assert one[name] == other[name], name


def test_an_image_is_its_tree(tree: Path, tmp_path: Path) -> None:
    wanted = without_socket(snapshot(tree))
    image = Image.build(tree)
    same(in_store(image, tmp_path), wanted)
    assert image.unpack(tmp_path / "flat") == ()
    same(snapshot(tmp_path / "flat"), wanted)


@pytest.mark.parametrize("compression", ["gzip", "zstd", "none"])
def test_umoci_unpacks_what_was_written_to_the_same_tree(
    tree: Path, tmp_path: Path, compression: str
) -> None:
    if compression == "zstd":
        pytest.importorskip("backports.zstd" if sys.version_info < (3, 14) else "compression.zstd")
    Image.build(tree, cmd=["/bin/sh"], compression=compression).save(tmp_path / "layout")
    wanted = without_socket(snapshot(tree))
    same(in_store(Image.open(tmp_path / "layout"), tmp_path), wanted)
    if compression != "zstd":  # which umoci of Debian 12 does not read
        same(by_umoci(tmp_path / "layout", "latest", tmp_path / "bundle"), wanted)


def changed(tree: Path) -> None:
    """What a second layer changes: everything into everything else."""
    shutil.rmtree(tree / "srv/deep")
    (tree / "srv/deep").write_text("a file now\n")
    os.unlink(tree / "etc/empty")
    (tree / "etc/empty").mkdir()
    (tree / "etc/empty/now a folder").touch()
    os.unlink(tree / "srv/dangling")
    os.unlink(tree / "srv/absolute")
    (tree / "srv/absolute").mkdir()
    os.chmod(tree / "closed", 0o700)
    (tree / "home/user/new").write_text("new\n")


def umoci_image(tree: Path, tmp_path: Path, tag: str = "two") -> Path:
    """An image of two layers, made by umoci."""
    umoci, layout, bundle = tool("umoci"), tmp_path / "umoci", tmp_path / "by-umoci"
    call(umoci, "init", "--layout", layout)
    call(umoci, "new", "--image", f"{layout}:{tag}")
    call(umoci, "unpack", "--image", f"{layout}:{tag}", bundle)
    os.unlink(tree / "srv/socket")
    call("cp", "-a", f"{tree}/.", bundle / "rootfs")
    call(umoci, "repack", "--refresh-bundle", "--image", f"{layout}:{tag}", bundle)
    changed(bundle / "rootfs")
    call(umoci, "repack", "--image", f"{layout}:{tag}", bundle)
    call(umoci, "config", "--image", f"{layout}:{tag}", "--config.cmd", "/bin/busybox",
         "--config.cmd", "id", "--config.env", "MADE=by umoci", "--config.user", "user",
         "--config.workingdir", "/srv", "--config.exposedports", "80/tcp",
         "--config.volume", "/tmp", "--config.label", "a=b")  # fmt: skip
    shutil.rmtree(bundle)
    return layout


def test_umoci_s_image_unpacks_as_umoci_does_it(tree: Path, tmp_path: Path) -> None:
    layout = umoci_image(tree, tmp_path)
    wanted = by_umoci(layout, "two", tmp_path / "bundle")
    image = Image.open(layout)
    assert len(image.layers) == 2
    same(in_store(image, tmp_path), wanted)
    image.unpack(tmp_path / "flat")
    same(snapshot(tmp_path / "flat"), wanted)
    config = image.config
    assert (config.cmd, config.user, config.workdir) == (("/bin/busybox", "id"), "user", "/srv")
    assert (config.ports, config.volumes) == (("80/tcp",), ("/tmp",))
    assert (config.labels["a"], config.env["MADE"]) == ("b", "by umoci")


@pytest.mark.parametrize(
    ("transport", "options"),
    [
        ("docker-archive:{}:tool:1", []),
        ("oci-archive:{}:tool", []),
        ("oci:{}:tool", ["--dest-compress-format", "zstd"]),
    ],
)
def test_skopeo_s_copies_are_the_same_image(
    tree: Path, tmp_path: Path, transport: str, options: list[str]
) -> None:
    if options:
        pytest.importorskip("backports.zstd" if sys.version_info < (3, 14) else "compression.zstd")
    layout = umoci_image(tree, tmp_path)
    target = tmp_path / "copy"
    call(tool("skopeo"), "--insecure-policy", "copy", "-q", *options, f"oci:{layout}:two",
         transport.format(target))  # fmt: skip
    copy, original = Image.open(target), Image.open(layout)
    assert copy.chain_ids == original.chain_ids
    assert copy.config.cmd == original.config.cmd
    with original:
        wanted = in_store(original, tmp_path)
    assert {layer.diff_id for layer in copy.layers} == {layer.diff_id for layer in original.layers}
    copy.unpack(tmp_path / "flat")
    same(snapshot(tmp_path / "flat"), wanted)


def test_buildah_s_image_runs(tree: Path, tmp_path: Path) -> None:
    buildah = [tool("buildah"), "--storage-driver", "vfs", "--root", str(tmp_path / "storage"),
               "--runroot", str(tmp_path / "run")]  # fmt: skip
    container = call(*buildah, "from", "scratch").strip()
    call(*buildah, "copy", "-q", container, tree)
    call(*buildah, "config", "--cmd", '["/bin/busybox", "cat", "/etc/group"]', container)
    call(*buildah, "commit", "-q", "--disable-compression=false", container,
         f"oci:{tmp_path}/layout:buildah")  # fmt: skip
    call(*buildah, "rm", container)
    image = Image.open(tmp_path / "layout", reference="buildah")
    image.unpack(tmp_path / "flat")
    for name, facts in without_socket(snapshot(tree)).items():
        if "content" in facts:
            assert snapshot(tmp_path / "flat")[name]["content"] == facts["content"]
            break
    with image:
        spec = image.spec(store=tmp_path / "store")
        done = nsbox.run(None, spec, capture_output=True, text=True, check=True, timeout=60)
    assert "web:x:33:" in done.stdout


def test_skopeo_reads_what_was_written(tree: Path, tmp_path: Path) -> None:
    skopeo = tool("skopeo")
    image = Image.build(tree, cmd=["/bin/sh"], env={"A": "b"}, labels={"x": "y"})
    image.save(tmp_path / "layout", reference="one")
    image.save(tmp_path / "layout.tar", reference="one")
    image.save_docker(tmp_path / "docker.tar", tag="tool:one")
    for place in ("oci:{}/layout:one", "oci-archive:{}/layout.tar:one"):
        found = json.loads(call(skopeo, "inspect", place.format(tmp_path)))
        assert found["Digest"] == image.digest
        assert found["Env"] == ["A=b"]
        assert found["Labels"] == {"x": "y"}
    found = json.loads(call(skopeo, "inspect", f"docker-archive:{tmp_path}/docker.tar:tool:one"))
    assert found["Env"] == ["A=b"]
    call(skopeo, "--insecure-policy", "copy", "-q", f"docker-archive:{tmp_path}/docker.tar",
         f"oci:{tmp_path}/back:one")  # fmt: skip
    assert Image.open(tmp_path / "back").chain_ids == image.chain_ids
    for name in ("layout", "layout.tar", "docker.tar"):
        assert Image.open(tmp_path / name).chain_ids == image.chain_ids


def test_a_changed_upper_folder_becomes_a_layer(tree: Path, tmp_path: Path) -> None:
    """Written by a real overlay mount, read back by umoci and by us."""
    os.unlink(tree / "srv/socket")
    upper, work, point = (tmp_path / name for name in ("upper", "work", "at"))
    for folder in (upper, work, point):
        folder.mkdir()
    script = (
        f"mount -t overlay overlay -o lowerdir={tree},upperdir={upper},workdir={work} {point} && "
        f"cd {point} && rm etc/empty && rm -r srv/deep && mkdir srv/deep && echo a > srv/deep/file "
        "&& echo more >> etc/group && chmod 711 home && mv bin/setuid bin/moved && rm -r dev"
    )
    call("unshare", "--mount", "sh", "-c", script)
    point.rmdir()
    wanted = mounted([str(tree), str(upper)], tmp_path / "wanted")
    image = Image.build(tree).diff(upper)
    assert len(image.layers) == 2
    same(in_store(image, tmp_path), wanted)
    image.save(tmp_path / "layout")
    image.unpack(tmp_path / "flat")
    # Two names of one file, of which the overlay copied up one: they are two files from then on.
    same(snapshot(tmp_path / "flat"), wanted)
    same(by_umoci(tmp_path / "layout", "latest", tmp_path / "bundle"), wanted)


def test_a_layer_on_a_base_adds_to_it(tree: Path, tmp_path: Path) -> None:
    more = tmp_path / "more"
    (more / "etc").mkdir(parents=True)
    (more / "etc/motd").write_text("hello\n")
    base = Image.build(tree, env={"A": "1", "B": "2"}, cmd=["/bin/sh"], user="user")
    image = Image.build(more, base=base, env={"B": "3"}, cmd=["/bin/busybox", "true"])
    assert dict(image.config.env) == {"A": "1", "B": "3"}
    assert (image.config.user, image.config.cmd) == ("user", ("/bin/busybox", "true"))
    assert image.chain_ids[0] == base.chain_ids[0]
    image.save(tmp_path / "layout")
    found = by_umoci(tmp_path / "layout", "latest", tmp_path / "bundle")
    same(in_store(Image.open(tmp_path / "layout"), tmp_path), found)


def test_the_same_tree_gives_the_same_image(tree: Path, tmp_path: Path) -> None:
    one = Image.build(tree, mtime=0)
    os.unlink(tree / "srv/socket")
    call("cp", "-a", "--reflink=never", tree, tmp_path / "copy")
    os.utime(tmp_path / "copy/etc/passwd")
    two = Image.build(tmp_path / "copy", mtime=0)
    assert one.digest == two.digest
    for number, image in enumerate((one, two)):
        image.save(tmp_path / f"{number}.tar")
    assert (tmp_path / "0.tar").read_bytes() == (tmp_path / "1.tar").read_bytes()


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_a_plain_archive_of_a_tree_is_an_image_of_one_layer(
    tree: Path, tmp_path: Path, mode: Any
) -> None:
    os.unlink(tree / "srv/socket")
    call("tar", "--xattrs", "--xattrs-include=*", "--format=pax", "-C", tree, "-cf",
         tmp_path / "plain.tar", ".")  # fmt: skip
    if mode == "w:gz":
        call("gzip", tmp_path / "plain.tar")
    image = Image.open(tmp_path / ("plain.tar.gz" if mode == "w:gz" else "plain.tar"))
    assert image.config.args == ()
    same(in_store(image, tmp_path), snapshot(tree))


@pytest.mark.parametrize("form", ["gnu", "oldgnu", "pax --sparse-version=0.0",
                                  "pax --sparse-version=0.1", "pax --sparse-version=1.0"])  # fmt: skip
def test_sparse_files_of_gnu_tar_stay_sparse(tmp_path: Path, form: str) -> None:
    root = tmp_path / "tree"
    root.mkdir()
    with open(root / "sparse", "wb") as file:
        for number in range(30):
            file.seek(number << 20)
            file.write(b"piece %d" % number)
        file.truncate(64 << 20)
    call("tar", "-S", "--format=" + form.partition(" ")[0], *form.split()[1:], "-C", root, "-cf",
         tmp_path / "plain.tar", ".")  # fmt: skip
    image = Image.open(tmp_path / "plain.tar")
    image.unpack(tmp_path / "flat")
    assert (
        snapshot(tmp_path / "flat")["./sparse"]["content"]
        == (snapshot(root)["./sparse"]["content"])
    )
    assert (tmp_path / "flat/sparse").stat().st_blocks * 512 < 8 << 20


@pytest.mark.skipif(
    not (DEBIAN / "usr/bin/apt-get").exists(),
    reason=f"needs a Debian tree at $NSBOX_DEBIAN_TREE ({DEBIAN}); `.ci/run` makes one",
)
def test_debian_is_the_same_here_and_with_umoci(tmp_path: Path) -> None:
    Image.build(DEBIAN, cmd=["apt-get", "--version"]).save(tmp_path / "layout")
    wanted = snapshot(DEBIAN)
    image = Image.open(tmp_path / "layout")
    same(in_store(image, tmp_path), wanted)
    same(by_umoci(tmp_path / "layout", "latest", tmp_path / "bundle"), wanted)
    with image:
        spec = image.spec(store=tmp_path / "store")
        done = nsbox.run(None, spec, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.startswith("apt ")


def test_a_box_runs_an_image_as_the_image_wants_it(tree: Path, tmp_path: Path) -> None:
    script = (
        "echo $LAYER $HOME; pwd; id -u; id -g; echo x > /tmp/x; echo y > /etc/passwd || echo no"
    )
    image = Image.build(
        tree, entrypoint=["/bin/busybox"], cmd=["sh", "-c", script], env={"LAYER": "one"},
        user="user:web", workdir="/srv", volumes=["/tmp", "/etc"],
    )  # fmt: skip
    with image:
        spec = image.spec(store=tmp_path / "store")
        assert spec.args == ("/bin/busybox", "sh", "-c", script)
        done = nsbox.run(spec.args, spec, capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines() == ["one /home/user", "/srv", "1234", "33", "no"], done.stderr
    assert [mount.target for mount in spec.rootfs.mounts] == ["/tmp"]  # /etc is not empty


def test_the_root_of_an_image_serves_a_spec_of_ones_own(tree: Path, tmp_path: Path) -> None:
    command = ["/bin/busybox", "sh", "-c", "id -u; cat /srv/new; echo x > /srv/new"]
    store = tmp_path / "store"
    with Image.build(tree, user="nobody-here", volumes=["/tmp", "/etc"]) as image:
        rootfs = RootFS.image(image, store=store)
        assert rootfs == image.rootfs(store=store)
        assert [mount.target for mount in rootfs.mounts] == ["/tmp"]
        for kept, seen in (
            (rootfs, []),
            (RootFS.image(image, store=store, upper=tmp_path / "up"), ["x"]),
        ):
            nsbox.run(command, BoxSpec(rootfs=kept), timeout=60)
            spec = BoxSpec(rootfs=kept, hostname="own", env={"PATH": "/bin"})
            done = nsbox.run(command, spec, capture_output=True, text=True, timeout=60)
            assert done.stdout.splitlines() == ["0", *seen]
    assert (tmp_path / "up/srv/new").read_text() == "x\n"
    assert not (tree / "srv/new").exists()


def test_the_root_of_an_image_is_that_of_its_spec(tree: Path, tmp_path: Path) -> None:
    with Image.build(tree, volumes=["/tmp"]) as image:
        spec = image.spec(store=tmp_path / "store")
        assert RootFS.image(image, store=tmp_path / "store") == spec.rootfs


def test_the_layers_of_a_root_are_locked_until_the_image_is_closed(
    tree: Path, tmp_path: Path
) -> None:
    store = Store(tmp_path / "store")
    with Image.build(tree) as image:
        RootFS.image(image, store=store)
        assert store.gc() == ()
    assert len(store.gc()) == 1


def test_a_user_that_the_image_does_not_know_is_named(tree: Path, tmp_path: Path) -> None:
    with (
        Image.build(tree, user="nobody-here") as image,
        pytest.raises(ImageError, match="nobody-here"),
    ):
        image.spec(store=tmp_path / "store")


def test_progress_reaches_its_total_and_a_bar_of_tqdm(tree: Path, tmp_path: Path) -> None:
    tqdm = pytest.importorskip("tqdm")
    tqdm.tqdm.monitor_interval = 0  # or it has a thread of its own
    image = Image.build(tree)
    told: list[tuple[int, int, str]] = []
    image.unpack(tmp_path / "flat", progress=lambda *facts: told.append(facts))
    total = sum(layer.size for layer in image.layers)
    assert told[-1][:2] == (total, total)
    assert [done for done, _, _ in told] == sorted(done for done, _, _ in told)
    with (
        open(tmp_path / "output", "w", encoding="utf-8") as file,
        tqdm.tqdm(unit="B", unit_scale=True, file=file) as bar,
        image,
    ):
        image.unpacked(store=tmp_path / "store", progress=nsbox.image.on_bar(bar))
        assert (bar.n, bar.total) == (total, total)


def test_an_index_of_many_platforms_gives_the_one_asked_for(tree: Path, tmp_path: Path) -> None:
    layout = tmp_path / "layout"
    Image.build(tree, cmd=["/bin/one"]).save(layout, reference="one")
    Image.build(tree, cmd=["/bin/two"]).save(layout, reference="two")
    with pytest.raises(ImageError, match="more than one image fits"):
        Image.open(layout)
    assert Image.open(layout, reference="two").config.cmd == ("/bin/two",)
    with pytest.raises(ImageError, match="no image is called 'three'"):
        Image.open(layout, reference="three")
    index = json.loads((layout / "index.json").read_text())
    index["manifests"][0]["platform"]["architecture"] = "other"
    (layout / "index.json").write_text(json.dumps(index))
    assert Image.open(layout).config.cmd == ("/bin/two",)
    assert Image.open(layout, platform="linux/other").config.cmd == ("/bin/one",)


def test_saving_again_takes_the_place_of_the_image_of_that_name(tree: Path, tmp_path: Path) -> None:
    layout = tmp_path / "layout"
    for cmd in (["/bin/one"], ["/bin/two"]):
        Image.build(tree, cmd=cmd).save(layout)
    assert Image.open(layout).config.cmd == ("/bin/two",)
    call(tool("umoci"), "ls", "--layout", layout)


@pytest.mark.parametrize("kind", ["save", "save_docker"])
def test_an_archive_that_cannot_be_finished_leaves_nothing(tmp_path: Path, kind: str) -> None:
    """The disk is full when what was written last is flushed: here a limit of sizes is."""
    small = tmp_path / "small"
    small.mkdir()
    image = Image.build(small)
    place = tmp_path / "place"
    place.mkdir()
    save = {"save": image.save, "save_docker": lambda path: image.save_docker(path, tag="a:b")}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, limits[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            save[kind](place / "image.tar")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list(place.iterdir())
