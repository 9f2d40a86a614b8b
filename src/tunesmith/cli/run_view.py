"""A run while it goes: a progress bar on a terminal, a line now and then in a pipe."""

import time
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from tunesmith.cli.task_view import duration, fetched, number
from tunesmith.cli.terminal import console, is_terminal, plain, text

REFRESHES = 4  # a second: elapsed and remaining time run on between two reports


class RunView:
    """Shows where a run is (`show`), and what happens in it."""

    def __init__(self, loss: float | None = None) -> None:
        self._console: Console = console()
        self._doing = ""
        self._step = 0
        self._total_steps: int | None = None
        self._loss = loss
        self._elapsed: float | None = None
        self._left: float | None = None
        self._reported_at = time.monotonic()
        self._download: tuple[int, int, float] | None = None
        self._tenth = -1
        self._live = Live(
            console=self._console,
            get_renderable=self._render,
            refresh_per_second=REFRESHES,
            transient=True,
        )

    def __enter__(self) -> Self:
        if is_terminal():
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.stop()

    def show(
        self,
        *,
        doing: str,
        step: int,
        total_steps: int | None,
        elapsed: float | None,
        left: float | None,
        download: tuple[int, int, float] | None = None,
    ) -> None:
        """Take in where the run is; `elapsed` and `left` are seconds.

        `download`: bytes there, bytes in all, bytes a second.
        """
        if doing != self._doing and not self._live.is_started:
            self._line(plain(doing))
        self._doing, self._step = doing, step
        # A snapshot may be older than the plan that was told in between.
        self._total_steps = total_steps or self._total_steps
        self._elapsed, self._left = elapsed, left
        self._reported_at = time.monotonic()
        self._show_download(download)

    def _show_download(self, download: tuple[int, int, float] | None) -> None:
        """Keep what the bar shows; where there is none, a line each tenth of the way."""
        self._download = download
        if download is None:
            self._tenth = -1
        elif (tenth := 10 * download[0] // max(1, download[1])) != self._tenth:
            self._tenth = tenth
            if not self._live.is_started:
                self._line(f"{10 * tenth:3d} %  {fetched(*download)}")

    def warn(self, message: str) -> None:
        self._line(f"⚠ {plain(message)}")

    def planned(self, samples: int, eval_samples: int, total_steps: int, device: str) -> None:
        self._total_steps = total_steps
        self._line(
            text(
                "plan",
                samples=samples,
                eval_samples=eval_samples,
                total_steps=total_steps,
                device=plain(device),
            )
        )

    def evaluated(self, step: int, eval_loss: float | None, accuracy: float | None) -> None:
        """`accuracy` is a part, 0-1."""
        percent = "?" if accuracy is None else f"{100 * accuracy:.1f} %"
        self._line(text("evaluation", step=step, eval_loss=number(eval_loss), accuracy=percent))

    def saved(self, step: int, path: str) -> None:
        self._line(text("checkpoint", step=step, path=plain(path)))

    def measured(self, step: int, loss: float | None, left: float | None) -> None:
        """A line of numbers, where no bar shows them; `left` are seconds."""
        self._loss = loss
        if self._live.is_started:
            return
        percent = f"{100 * step / self._total_steps:3.0f} %  " if self._total_steps else ""
        line = percent + text(
            "metrics", step=f"{step}/{self._total_steps or '?'}", loss=number(loss)
        )
        if self._elapsed is not None:
            running = time.monotonic() - self._reported_at
            line += f", {text('metrics_elapsed', elapsed=duration(self._elapsed + running))}"
        left = self._left if left is None else left
        if left is not None:
            line += f", {text('metrics_left', left=duration(left))}"
        self._line(line)

    def _line(self, line: str) -> None:
        self._console.print(line, soft_wrap=True)

    def _render(self) -> Any:
        running = 0.0 if self._elapsed is None else time.monotonic() - self._reported_at
        done = 100 * self._step / self._total_steps if self._total_steps else 0.0
        if self._download:
            done = 100 * self._download[0] / max(1, self._download[1])
        parts = [f"{done:5.1f} %"]
        if self._download:
            parts.append(fetched(*self._download))
        elif self._total_steps:
            parts.append(f"{self._step}/{self._total_steps}")
        if self._loss is not None:
            parts.append(f"loss {number(self._loss)}")
        if self._elapsed is not None:
            parts.append(f"{text('head.elapsed')} {duration(self._elapsed + running)}")
        if self._left is not None:
            parts.append(f"{text('head.left')} {duration(self._left - running)}")
        grid = Table.grid(padding=(0, 2), expand=True)
        grid.add_column()
        grid.add_column(ratio=1)
        grid.add_column(no_wrap=True)
        # Unknown length: the bar pulses.
        total = 100.0 if self._total_steps or self._download else None
        bar = ProgressBar(total=total, completed=done, pulse=total is None)
        grid.add_row(Text(plain(self._doing)), bar, Text("  ".join(parts)))
        return grid
