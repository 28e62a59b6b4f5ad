"""Start a distributed job: scheduler, servers and workers of MXNet's dist_sync, here or over ssh.

All of them run the same command; environment variables decide the role of each process.
"""

import os
import queue
import shlex
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from command import InputError, Interrupted, Parser, command

EXAMPLES = """examples:
  python -m tools.launch -n 2 -s 1 -- python train_cifar.py --kv-store dist_sync --network cross
  python -m tools.launch -n 8 -s 4 --hosts FILE -- python train_cifar.py --kv-store dist_sync

Every line of output begins with the name of its process. If one process fails, or this program is
stopped, all processes are ended."""

LOOPBACK = "127."  # how addresses begin at which a machine reaches only itself
PATIENCE = 10  # seconds that a process has after SIGTERM before it is killed

# This script ends the command when the script's standard input ends, that is, when this program
# closes it or has ended; this also works on another machine. Its status is 128 + n if signal n
# killed the command.
GUARD = """
cd {folder} || exit 2
exec 3<&0
{environment} {command} < /dev/null 3<&- &
command=$!
{{ cat <&3; kill $command; sleep {patience}; kill -9 $command; }} > /dev/null 2>&1 &
guard=$!
wait $command 2> /dev/null
status=$?
kill $guard
exit $status
"""


@dataclass(frozen=True)
class Process:
    """Describe a process of the job."""

    name: str
    role: str
    rank: int
    host: str  # target of ssh; empty for this machine


def list_processes(workers, servers, hosts):
    """Return the processes of a job; servers and workers are distributed over ``hosts`` in turn."""
    hosts = hosts or [""]
    found = [Process("scheduler", "scheduler", 0, "")]
    for role, count in (("server", servers), ("worker", workers)):
        found += [
            Process(f"{role} {rank}", role, rank, hosts[rank % len(hosts)]) for rank in range(count)
        ]
    return found


def read_hosts(path):
    """Read machine names from a file, one per line, in the form for ssh (user@name)."""
    text = Path(path).read_text(encoding="utf-8-sig", errors="replace")  # with a mark from Windows
    hosts = [line for line in map(str.strip, text.splitlines()) if line and line[0] != "#"]
    if not hosts:
        raise InputError(f"{path} names no machine: write one per line")
    return hosts


def find_address(host):
    """Return the IP address of a machine."""
    try:
        return socket.gethostbyname(host.rpartition("@")[2])
    except OSError as error:
        raise InputError(f"there is no address of the machine {host}: {error}") from None


def own_address(hosts):
    """Return the IP address at which ``hosts`` reach this machine; send nothing.

    This machine may be one of them. Then its name can stand for an address such as 127.0.1.1, at
    which no other reaches it.
    """
    found = [source_address(find_address(host)) for host in hosts]
    return next((address for address in found if not address.startswith(LOOPBACK)), found[0])


def source_address(address):
    """Return the IP address from which this machine sends to ``address``; send nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((address, 9))
        return probe.getsockname()[0]


def free_port():
    """Return a TCP port that is not in use."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        return probe.getsockname()[1]


def start(member, job, words):
    """Start a process of the job; ``job`` is the environment that all processes share."""
    address = find_address(member.host) if member.host else LOOPBACK
    if address.startswith(LOOPBACK):  # this machine, where the scheduler runs
        address = job["DMLC_PS_ROOT_URI"]
    environment = {**job, "DMLC_ROLE": member.role, "DMLC_NODE_HOST": address}
    if member.role == "worker":
        environment["DMLC_WORKER_ID"] = member.rank
    script = GUARD.format(
        folder=shlex.quote(os.getcwd()),
        environment=" ".join(f"{name}={value}" for name, value in environment.items()),
        command=" ".join(map(shlex.quote, words)),
        patience=PATIENCE,
    )
    ssh = ["ssh", "-o", "BatchMode=yes", member.host, script]
    return subprocess.Popen(
        ssh if member.host else ["sh", "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,  # Ctrl-C reaches only this program, which then ends them
    )


def follow(member, process, ended):
    """Show a process's output until it ends; then put (member, status) into ``ended``.

    If the output cannot be shown, because its reader has ended or a disk is full, the status is the
    OSError.
    """
    try:
        with process.stdout as lines:
            for line in lines:
                sys.stdout.write(f"[{member.name}] {line}")
                sys.stdout.flush()
        ended.put((member, process.wait()))
    except OSError as error:
        ended.put((member, error))
        process.wait()


def watch(processes, ended):
    """Wait until all workers have ended or one process has failed.

    Returns:
        (the Process that failed, or None; its status, or 0), see ``follow``.
    """
    left = {member for member in processes if member.role == "worker"}
    while left:
        member, status = ended.get()
        left.discard(member)
        if status:
            return member, status
    return None, 0


def run(job, crew, words):
    """Run a job to its end; return the Process that failed first, or None, and its status."""
    processes, threads, ended = {}, [], queue.Queue()
    try:
        for member in crew:
            processes[member] = start(member, job, words)
            follower = threading.Thread(target=follow, args=(member, processes[member], ended))
            follower.start()
            threads.append(follower)
        failed, status = watch(processes, ended)
        if failed is None:  # servers end with the workers, unless no worker connected
            deadline = time.monotonic() + PATIENCE
            for thread in threads:
                thread.join(max(0, deadline - time.monotonic()))
        return failed, status
    finally:
        for process in processes.values():
            process.stdin.close()
        for thread in threads:
            thread.join()


def make_parser():
    """Return the parser of the command line."""
    parser = Parser(prog="python -m tools.launch", description=__doc__, epilog=EXAMPLES)
    parser.add_argument("-n", "--workers", type=int, required=True, help="processes that train")
    parser.add_argument(
        "-s", "--servers", type=int, required=True, help="processes that sum gradients"
    )
    parser.add_argument(
        "--hosts",
        metavar="FILE",
        help="file of machines to run on, one per line, used in turn; ssh must reach them without "
        "a password, and they must have the same folder. Default: all processes on this machine",
    )
    parser.add_argument(
        "--port", type=int, help="port of the scheduler, which runs here; default: a free one"
    )
    parser.add_argument("words", nargs="+", metavar="COMMAND", help="after --")
    return parser


@command
def main(argv=None):
    """Run the job that the command line describes; return its status."""
    args = make_parser().parse_args(argv)
    if min(args.workers, args.servers) < 1:
        raise InputError("a job needs at least one worker (-n) and one server (-s)")
    if args.port is not None and not 0 < args.port < 2**16:
        raise InputError(f"--port must be 1 to 65535, not {args.port}")
    hosts = read_hosts(args.hosts) if args.hosts else []
    job = {
        "DMLC_PS_ROOT_URI": own_address(hosts) if hosts else "127.0.0.1",
        "DMLC_PS_ROOT_PORT": args.port or free_port(),
        "DMLC_NUM_WORKER": args.workers,
        "DMLC_NUM_SERVER": args.servers,
    }
    try:
        failed, status = run(job, list_processes(args.workers, args.servers, hosts), args.words)
    except KeyboardInterrupt:
        raise Interrupted("interrupted; the same command with --resume resumes the run") from None
    if isinstance(status, OSError):
        raise status
    if failed is not None:
        sys.stderr.write(f"error: {failed.name} ended with status {status}; the job was ended\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
