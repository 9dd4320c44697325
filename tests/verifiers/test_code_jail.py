"""What a program can reach from inside the bubblewrap jail: nothing."""

import socket
import struct
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sandboxes import needs_jail

from effortctl import Answer, Task
from effortctl.verifiers import code_tests, guarded
from effortctl.verifiers._bubblewrap import seccomp_filter

pytestmark = needs_jail
TASK = Task(input="q")


def result(program, **options):
    """What `probe()` returned in the jail, read from the feedback of a test that must fail."""
    tests = "assert probe() == 'never this'"
    verifier = code_tests(tests, entry_point="probe", backend="bubblewrap", **options)
    verdict = guarded(verifier)(TASK, Answer(text=textwrap.dedent(program)))
    assert verdict.status == "fail", verdict
    return verdict.feedback


def test_there_is_no_environment(monkeypatch):
    monkeypatch.setenv("CANARY_API_KEY", "canary-3141")
    text = result("import os\ndef probe(): return sorted(os.environ)")
    assert "CANARY" not in text
    assert "API_KEY" not in text


def test_there_are_no_host_files(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("canary-2718")
    text = result(f"def probe(): return open({str(secret)!r}).read()")
    assert "FileNotFoundError" in text
    for path in ("/etc/passwd", "/proc/self/environ", "/home", "/var", "/sys"):
        assert "FileNotFoundError" in result(f"import os\ndef probe(): return os.stat({path!r})")


def test_third_party_packages_are_not_there():
    assert "ModuleNotFoundError" in result("import pydantic\ndef probe(): return 1")


def test_nothing_can_be_written_outside_the_private_tmp():
    text = result(
        """
        import os, sys
        def probe():
            written = []
            for folder in ["/", "/dev", os.path.dirname(os.__file__), "/usr/lib", "/tmp"]:
                try:
                    open(folder + "/x", "w").close()
                    written.append(folder)
                except OSError: pass
            return written
        """
    )
    assert "returned ['/tmp']" in text


def test_the_private_tmp_is_small():
    text = result(
        """
        def probe():
            total = 0
            try:
                for n in range(100):
                    with open(f"/tmp/{n}", "wb") as file:
                        total += file.write(bytes(2**20))
            except OSError: pass
            return total < 20 * 2**20
        """
    )
    assert "returned True" in text


def test_there_is_no_network_not_even_loopback():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        text = result(
            f"import socket\ndef probe(): return socket.create_connection(('127.0.0.1', {port}), 1)"
        )
    assert "OSError" in text or "ConnectionRefusedError" in text or "Network" in text


@pytest.mark.parametrize(
    "attempt",
    [
        "os.fork()",
        "os.posix_spawn(sys.executable, ['python'], {})",
        "subprocess.run([sys.executable, '-c', 'pass'])",
        "ctypes.CDLL(None, use_errno=True).unshare(0x10000000) or os.getuid()",
        "ctypes.CDLL(None, use_errno=True).mount(b'none', b'/tmp', b'tmpfs', 0, None)",
        "ctypes.CDLL(None, use_errno=True).ptrace(0, 0, 0, 0)",
    ],
)
def test_new_processes_and_namespaces_are_refused(attempt):
    text = result(
        f"""
        import ctypes, os, subprocess, sys
        def probe():
            outcome = {attempt}
            return "refused" if outcome == -1 else "allowed"
        """
    )
    assert "allowed" not in text


def test_it_runs_as_nobody_without_capabilities():
    text = result("import os\ndef probe(): return os.getuid(), os.getgid()")
    assert "(65534, 65534)" in text
    assert "refused" in result(
        """
        import os
        def probe():
            try: os.setuid(0)
            except OSError: return "refused"
        """
    )


def test_memory_is_limited():
    assert "MemoryError" in result("def probe(): return len(bytearray(2**31))")


def test_what_it_prints_goes_nowhere(capfd):
    result("import sys\nprint('x' * 10**6)\nsys.stderr.write('y')\ndef probe(): return print('z')")
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")


def test_input_is_at_its_end():
    assert "EOFError" in result("def probe(): return input()")


def test_many_run_at_once_without_mixing_up():
    def one(n):
        verifier = code_tests(f"assert f({n}) == {n * n}", entry_point="f", backend="bubblewrap")
        return (
            verifier(TASK, Answer(text="def f(x): return x * x")).passed,
            verifier(TASK, Answer(text="def f(x): return x + 1000")).passed,
        )

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(one, range(3, 27))) == {(True, False)}


def open_descriptors():
    return len(list(Path("/proc/self/fd").iterdir()))


def test_no_descriptor_is_left_open():
    verifier = guarded(code_tests("assert f(1) == 1", entry_point="f", backend="bubblewrap"))
    texts = ["def f(x): return x", "def f(x): return 2", "import os\nos._exit(0)\ndef f(): 0", "("]
    for text in texts:
        verifier(TASK, Answer(text=text))
    before = open_descriptors()
    for _ in range(5):
        for text in texts:
            verifier(TASK, Answer(text=text))
    assert open_descriptors() == before


def test_the_system_call_filter_is_whole_instructions_with_jumps_inside():
    for threads in (True, False):
        code = seccomp_filter(threads=threads)
        if code is None:
            pytest.skip("the system call numbers of this machine are not known")
        steps = list(struct.iter_unpack("=HBBI", code))
        assert len(steps) < 4096
        for place, (operation, yes, no, _) in enumerate(steps):
            if operation & 0x07 == 0x05:
                assert place + 1 + max(yes, no) < len(steps)
        assert steps[-1][0] == 0x06
