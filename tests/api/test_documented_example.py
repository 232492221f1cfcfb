"""The example in docs/generate.md runs as it stands."""

import re
from pathlib import Path

import soundfile as sf

DOCS = Path(__file__).parents[2] / "docs" / "generate.md"


def test_the_example_runs(model_folder, tone, tmp_path, monkeypatch, capsys):
    (code,) = re.findall(r"```python\n(.*?)```", DOCS.read_text("utf-8"), flags=re.DOTALL)
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "demo").symlink_to(model_folder)
    sf.write(tmp_path / "speech.wav", tone, 16_000)
    monkeypatch.chdir(tmp_path)
    exec(compile(code, str(DOCS), "exec"), {})
    assert capsys.readouterr().out.strip() == "(90, 55, 3)"
    files = {path.name for path in Path("out/speech").iterdir()}
    assert files >= {"seed1.npz", "seed2.npz", "seed1.bvh", "seed2.bvh", "speech.wav", "seed2.notes.json"}
    assert "resting" in Path("out/speech/seed1.notes.json").read_text()
