"""Import cost over a bare interpreter: medians of whole processes, as ratios."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

RUNS = 15
COMMANDS = {
    "bare interpreter": ["-c", "pass"],
    "import teeverify": ["-c", "import teeverify"],
    "teeverify --help": ["-c", "import sys; from teeverify.cli import main; sys.exit(main(['--help']))"],
    "from teeverify import NearVerifier": ["-c", "from teeverify import NearVerifier"],
}


def main() -> None:
    """Interleave the commands, so that a busy moment of the machine hits all of them."""
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(RUNS):
        for name, arguments in COMMANDS.items():
            start = time.perf_counter()
            subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
            times[name].append(time.perf_counter() - start)
    floor = statistics.median(times["bare interpreter"])
    for name, values in times.items():
        median = statistics.median(values)
        print(f"{name:36} {median * 1000:7.1f} ms  {median / floor:5.2f} x bare")


if __name__ == "__main__":
    main()
