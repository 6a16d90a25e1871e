"""The wheel that users install."""

import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_the_wheel_holds_the_packages_and_their_data_and_nothing_else(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    folders = {name.split("/")[0] for name in names if ".dist-info" not in name}
    assert folders == {"fpga_model", "nas", "node", "pool", "ponas"}
    assert not [name for name in names if name.endswith(".proto")]
    for data in (
        "fpga_model/data/multiplier_luts.json",
        "nas/data/digits.bin",
        "nas/designs/presets.json",
        "ponas/py.typed",
    ):
        assert data in names
