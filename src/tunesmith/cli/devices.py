"""`tunesmith devices`: the GPUs of the server's machine, and who holds them."""

from tunesmith.cli.options import JsonOption


def devices(json: JsonOption = False) -> None:
    """List the GPUs of the server's machine."""
    from tunesmith.cli.terminal import notice, print_json, print_table, text
    from tunesmith.client import Client

    with Client() as client:
        found = client.devices()
    if json:
        print_json(found)
        return
    if not found:
        notice(text("no_gpu"))
        return

    def gib(size: int | None) -> str:
        return "" if size is None else f"{size / 2**30:.1f} GiB"

    heads = ("index", "gpu", "memory", "used", "utilisation", "temperature", "task")
    print_table(
        [text(f"head.{head}") for head in heads],
        (
            (
                device.index,
                f"{device.name} ({text('simulated')})" if device.simulated else device.name,
                gib(device.memory_total_bytes),
                gib(device.memory_used_bytes),
                None if device.utilization_percent is None else f"{device.utilization_percent} %",
                None if device.temperature_celsius is None else f"{device.temperature_celsius} °C",
                device.task_id,
            )
            for device in found
        ),
        right=(0, 2, 3, 4, 5, 6),
    )
