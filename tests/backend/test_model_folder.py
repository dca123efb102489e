from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from backend import client
from backend import model_folder as folders
from backend.client import EngineConfig, connect
from backend.errors import EngineMisconfigured, ModelFolderInvalid
from backend.model_folder import check_model_folder
from backend.tiny_model import make_model_folder


def test_a_made_folder_is_valid_and_tells_its_window_and_type(model_folder):
    folder = check_model_folder(model_folder)
    assert (folder.window_tokens, folder.dtype) == (2048, "bfloat16")


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json", "chat_template.jinja"])
def test_a_missing_file_is_named(model_folder, tmp_path, name):
    folder = shutil.copytree(model_folder, tmp_path / "copy")
    (folder / name).unlink()
    with pytest.raises(ModelFolderInvalid) as invalid:
        check_model_folder(folder)
    assert name.rpartition(".")[2] in invalid.value.missing
    assert invalid.value.path == folder
    with pytest.raises(ModelFolderInvalid):
        connect(EngineConfig("main", "embedded/copy", path=str(folder)))


def test_a_template_inside_the_tokenizers_settings_counts(model_folder, tmp_path):
    folder = shutil.copytree(model_folder, tmp_path / "copy")
    (folder / "chat_template.jinja").unlink()
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({**settings, "chat_template": "{{ messages }}"}))
    assert check_model_folder(folder).path == folder


@pytest.mark.parametrize(("content", "problem"), [("{", "cannot be read"), ("[]", "not a JSON object")])
def test_an_unreadable_config_is_named(model_folder, tmp_path, content, problem):
    folder = shutil.copytree(model_folder, tmp_path / "copy")
    (folder / "config.json").write_text(content)
    with pytest.raises(ModelFolderInvalid, match=problem):
        check_model_folder(folder)


def test_a_path_that_is_no_folder_is_named(tmp_path):
    with pytest.raises(ModelFolderInvalid, match="does not exist"):
        check_model_folder(tmp_path / "nowhere")
    (tmp_path / "file").touch()
    with pytest.raises(ModelFolderInvalid, match="not a folder"):
        check_model_folder(tmp_path / "file")


def test_the_same_texts_and_seed_make_the_same_model(tmp_path):
    def files(folder: Path) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in folder.iterdir()}

    texts = ["one two three", "three two one"] * 5
    first, second = (make_model_folder(tmp_path / name, texts) for name in "ab")
    other = make_model_folder(tmp_path / "c", texts, seed=1)
    assert files(first) == files(second)
    assert files(first)["model.safetensors"] != files(other)["model.safetensors"]


def test_a_shape_that_does_not_divide_is_refused(tmp_path):
    with pytest.raises(ValueError, match="divide"):
        make_model_folder(tmp_path, ["text"], hidden=65)


@pytest.fixture
def shipped(model_folder, tmp_path, monkeypatch):
    """A folder in the place of the one that ships."""
    folder = shutil.copytree(model_folder, tmp_path / "installed" / "model")
    for module in (folders, client):
        monkeypatch.setattr(module, "SHIPPED_FOLDER", folder)
    return folder


def test_the_shipped_model_needs_no_path(shipped, model_folder):
    assert connect(EngineConfig("mini", "embedded/kvasir-mini"))._folder == shipped
    other = EngineConfig("mini", "embedded/kvasir-mini", path=str(model_folder))
    assert connect(other)._folder == model_folder.resolve()
    with pytest.raises(EngineMisconfigured, match=r"path is missing.*kvasir-mini"):
        connect(EngineConfig("mini", "embedded/kvasir-maxi"))


def test_an_installation_without_its_model_says_so(shipped):
    shutil.rmtree(shipped)
    with pytest.raises(ModelFolderInvalid, match="without its own model, kvasir-mini"):
        connect(EngineConfig("mini", "embedded/kvasir-mini"))


def test_the_shipped_model_is_found_by_its_name_unless_a_folder_here_has_it(shipped, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert folders.model_folder("kvasir-mini") == folders.model_folder(Path("kvasir-mini")) == shipped
    assert check_model_folder(shipped).name == "kvasir-mini"
    (tmp_path / "kvasir-mini").mkdir()
    assert folders.model_folder("kvasir-mini") == tmp_path / "kvasir-mini"
    assert folders.model_folder("some/where") == tmp_path / "some" / "where"


def test_kvasirs_own_model_is_installed_with_it():
    folder = check_model_folder(folders.SHIPPED_FOLDER)
    assert (folder.name, folder.window_tokens, folder.dtype) == ("kvasir-mini", 4096, "bfloat16")
    sizes = [path.stat().st_size for path in folder.path.glob("*.safetensors")]
    assert sum(sizes) > 40e6
    assert max(sizes) < 16e6
    assert (folder.path / "README.md").is_file()
