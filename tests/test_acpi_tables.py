"""The ACPI tables that guests get, as Intel's compiler reads them."""

import re
import shutil
import subprocess

import pytest
from conftest import BUILD

TABLES = ("XSDT", "RSDT", "FACP", "DSDT", "APIC")


def test_iasl(tmp_path):
    if not shutil.which("iasl"):
        pytest.skip("no iasl: install acpica-tools")
    subprocess.run([BUILD / "unit/test_acpi_build", tmp_path], check=True,
                   stdout=subprocess.DEVNULL)
    for name in TABLES:
        done = subprocess.run(["iasl", "-d", f"{name}.aml"], cwd=tmp_path, capture_output=True,
                              text=True, check=False)
        said = done.stdout + done.stderr
        assert done.returncode == 0, said
        assert not any(x in said for x in ("Error", "Warning", "Invalid", "incorrect")), said
    off = "".join(re.sub(r"//.*", "", (tmp_path / "DSDT.dsl").read_text()).split())
    assert "Name(_S5,Package(0x04)" in off or "Name(_S5_,Package(0x04)" in off, off
    com1 = off[off.index("Device(COM1)"):]
    assert 'EisaId("PNP0501")' in com1 and "IO(Decode16,0x03F8,0x03F8,0x01,0x08,)" in com1, com1
    assert "IRQ" not in com1, "Linux would wait for an interrupt that nothing raises"
    assert "SleepControlRegister" in (tmp_path / "FACP.dsl").read_text().replace(" ", "")
