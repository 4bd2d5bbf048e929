# SPDX-License-Identifier: MIT
"""The table that the measurement ends with."""

import statistics

# name: (factor, decimals)
UNITS = {
    "s": (1, 2),
    "ms": (1e3, 2),
    "KB": (1e-3, 1),
    "MB": (1e-6, 1),
    "MiB": (1 / (1 << 20), 1),
    "rows/s": (1, 0),
    "": (1, 2),
}


def show(value, unit):
    factor, decimals = UNITS[unit]
    return f"{value * factor:,.{decimals}f} {unit}".rstrip()


class Table:
    """Rows of: what, measured (median, least, most), the peer's, how the two compare, the bar, ok or not."""

    def __init__(self, is_judged):
        self.is_judged = is_judged
        self.rows = []
        self.missed = 0

    def heading(self, text):
        self.rows.append([text])

    def add(self, what, values, unit, most=None, least=None, peer=None, of_peer=None, figure="median"):
        """Bars: at most, at least, or a part of the peer's. figure says which of the values is judged."""
        median = statistics.median(values)
        judged = {"median": median, "max": max(values), "min": min(values)}[figure]
        peer_median = statistics.median(peer) if peer else None
        bar, is_ok = "", None
        if most is not None:
            bar, is_ok = "<= " + show(most, unit), judged <= most
        elif least is not None:
            bar, is_ok = ">= " + show(least, unit), judged >= least
        elif of_peer is not None:
            bar, is_ok = f"<= 1/{of_peer:g} of peer", judged * of_peer <= peer_median
        limit = most or least or (peer_median / of_peer if of_peer else None)
        self.missed += is_ok is False and self.is_judged
        verdict = "" if is_ok is None else ("-" if not self.is_judged else "ok" if is_ok else "NOT")
        self.rows.append([
            what,
            show(median, unit),
            show(min(values), unit),
            show(max(values), unit),
            str(len(values)),
            show(peer_median, unit) if peer else "",
            f"1/{peer_median / median:,.1f}" if peer else "",
            bar,
            f"{judged / limit:.2f}" if limit else "",
            verdict,
        ])

    def text(self):
        head = ["what", "median", "min", "max", "runs", "peer", "of peer", "bar", "of bar", ""]
        full = [head] + [row for row in self.rows if len(row) > 1]
        widths = [max(len(row[i]) for row in full) for i in range(len(head))]

        def line(row):
            cells = [row[0].ljust(widths[0])]
            cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:])]
            return "  ".join(cells).rstrip()

        lines = [line(head)]
        for row in self.rows:
            lines += [line(row)] if len(row) > 1 else ["", row[0]]
        return "\n".join(lines)
