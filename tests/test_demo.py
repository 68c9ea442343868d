"""The demo as a person runs it: build/keyhole.iso through tools/run, under Bochs and under KVM."""

import os
import subprocess

import pytest
from conftest import BUILD, ROOT
from keyhole import demo, host, iso, machine

LIMIT = 100


def run_demo(runner, tag, **env):
    image = BUILD / f"demo-{tag}.iso"
    iso.make(image, BUILD / "keyhole.elf", [], demo.load().specs(BUILD))
    return subprocess.run(
        [ROOT / "tools/run", "--build", BUILD / f"demo-{tag}", "--demo", image], cwd=ROOT,
        env=dict(os.environ, RUNNER=runner, GUESTS="", **env), timeout=LIMIT, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)


@pytest.mark.timeout(LIMIT + 10)
@pytest.mark.parametrize("model", [machine.BOCHS_CPU, machine.BOCHS_OLD_CPU])
def test_demo_bochs(model):
    done = run_demo("bochs", model, BOCHS_CPU=model)
    assert done.returncode == 0, done.stdout[-3000:]


@pytest.mark.timeout(LIMIT + 10)
def test_demo_kvm():
    why = host.Host().kvm_obstacle()
    if why:
        pytest.skip(f"no KVM with nested VT-x: {why}")
    done = run_demo("kvm", "kvm")
    assert done.returncode == 0, done.stdout[-3000:]
