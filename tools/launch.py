"""Start a distributed job: scheduler, servers and workers of MXNet's dist_sync, here or over ssh.

All of them run the same command. MXNet makes a scheduler or server of it by its environment.
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

Every line of the command's output is shown after the name of its process. When one fails, or this
program is stopped, all are ended."""

PATIENCE = 10  # seconds that a process has to end in when it is told to

# Ends the command when its standard input ends: when this program lets go of it, or is gone, also
# where the command runs on another machine. Killed by signal n, its status is 128 + n.
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
    """A process of the job."""

    name: str
    role: str
    rank: int
    host: str  # to ssh to; empty for this machine


def list_processes(workers, servers, hosts):
    """The processes of a job; servers and workers go round the ``hosts``, or stay here."""
    hosts = hosts or [""]
    found = [Process("scheduler", "scheduler", 0, "")]
    for role, count in (("server", servers), ("worker", workers)):
        found += [
            Process(f"{role} {rank}", role, rank, hosts[rank % len(hosts)]) for rank in range(count)
        ]
    return found


def read_hosts(path):
    """Names of the machines in a file, a line each: what ssh takes, such as user@name."""
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    hosts = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    if not hosts:
        raise InputError(f"{path} names no machine")
    return hosts


def find_address(host):
    """IP address of a machine."""
    try:
        return socket.gethostbyname(host.rpartition("@")[2])
    except OSError as error:
        raise InputError(f"there is no address of the machine {host}: {error}") from None


def own_address(host):
    """IP address by which the machine ``host`` reaches this one; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((find_address(host), 9))
        return probe.getsockname()[0]


def free_port():
    """A TCP port that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        return probe.getsockname()[1]


def start(member, job, words):
    """Start a process of the job; ``job`` is the environment that all share."""
    address = find_address(member.host) if member.host else job["DMLC_PS_ROOT_URI"]
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
        start_new_session=True,  # Ctrl-C is this program's, which tells them
    )


def follow(member, process, ended):
    """Show what a process says until it ends; then put (member, status) into ``ended``."""
    with process.stdout as lines:
        for line in lines:
            sys.stdout.write(f"[{member.name}] {line}")
            sys.stdout.flush()
    ended.put((member, process.wait()))


def watch(processes, ended):
    """Wait until all workers have ended, or one process has failed; its Member and status."""
    left = {member for member in processes if member.role == "worker"}
    while left:
        member, status = ended.get()
        left.discard(member)
        if status:
            return member, status
    return None, 0


def run(job, crew, words):
    """Run a job to its end; the member that failed first, or None, and its status."""
    processes, threads, ended = {}, [], queue.Queue()
    try:
        for member in crew:
            processes[member] = start(member, job, words)
            follower = threading.Thread(target=follow, args=(member, processes[member], ended))
            follower.start()
            threads.append(follower)
        failed, status = watch(processes, ended)
        if failed is None:  # servers end with the workers, unless no worker got as far as to them
            deadline = time.monotonic() + PATIENCE
            for thread in threads:
                thread.join(max(0, deadline - time.monotonic()))
        return failed, status
    finally:
        for process in processes.values():
            process.stdin.close()
        for thread in threads:
            thread.join()


@command
def main(argv=None):
    """Start the job that the command line describes, and see it through."""
    parser = Parser(prog="python -m tools.launch", description=__doc__, epilog=EXAMPLES)
    parser.add_argument("-n", "--workers", type=int, required=True, help="processes that train")
    parser.add_argument(
        "-s", "--servers", type=int, required=True, help="processes that sum gradients"
    )
    parser.add_argument(
        "--hosts",
        metavar="FILE",
        help="machines to run on, a line each, in turn; ssh must get there without a password, to "
        "the same folder. Default: all on this one",
    )
    parser.add_argument(
        "--port", type=int, help="of the scheduler, which runs here; default: a free one"
    )
    parser.add_argument("words", nargs="+", metavar="COMMAND", help="after --")
    args = parser.parse_args(argv)
    if min(args.workers, args.servers) < 1:
        raise InputError("a job has at least one worker (-n) and one server (-s)")
    hosts = read_hosts(args.hosts) if args.hosts else []
    job = {
        "DMLC_PS_ROOT_URI": own_address(hosts[0]) if hosts else "127.0.0.1",
        "DMLC_PS_ROOT_PORT": args.port or free_port(),
        "DMLC_NUM_WORKER": args.workers,
        "DMLC_NUM_SERVER": args.servers,
    }
    try:
        failed, status = run(job, list_processes(args.workers, args.servers, hosts), args.words)
    except KeyboardInterrupt:
        raise Interrupted("interrupted; the same command with --resume goes on") from None
    if failed is not None:
        sys.stderr.write(f"error: {failed.name} ended with status {status}, and so the job\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
