"""Push to the Hub from the page: whose token, whose namespace, never over anything unasked, and how far it is."""

from __future__ import annotations

import re
import shutil
import threading
import time
from types import SimpleNamespace

import gradio as gr
import huggingface_hub
import pytest
from huggingface_hub import constants
from ui_helpers import ANN, BOB, FakeLauncher, FakeReader, FakeStore, some_events

from apt_core.base.errors import BadInput, NotYours, OverQuota
from apt_core.base.policy import PRIVATE, HostPolicy
from apt_core.models.catalogue.entries import CATALOGUE
from apt_core.models.checkpoint import packed
from apt_core.models.fetch import hub_token
from apt_core.reports import push as hub_push
from apt_core.reports.push import Uploading
from apt_core.runs.owners import STRANGER
from apt_core.runs.quotas import Quotas
from apt_core.ui import pushes as pushes_module
from apt_core.ui.acting import acting_for
from apt_core.ui.pushes import Push, Pushes
from apt_core.ui.studio import Studio
from apt_core.ui.tabs import push
from apt_core.ui.views.push_state import push_state
from tests.models.fake_hub import FakeHub

RUN = "20261124-100000-abcd"
SPACE = HostPolicy(public=True, signs_in=True)
OWNERS, ANNS = "hf_of_the_machine", "hf_oauth_of_ann"
REPO = "ann/tiny-llama-pruned"


@pytest.fixture(scope="module")
def running_hub():
    with FakeHub() as hub:
        yield hub


@pytest.fixture
def hub(running_hub, monkeypatch):
    running_hub.forget()
    running_hub.accounts |= {ANNS: "ann", OWNERS: "owner"}
    monkeypatch.setattr(constants, "ENDPOINT", running_hub.url)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: OWNERS)
    hub_token.keep(None)
    yield running_hub
    hub_token.keep(None)


@pytest.fixture(scope="module")
def section():
    with gr.Blocks():
        return push.lay_out()


@pytest.fixture
def checkpoint(tmp_path):
    return shutil.copytree(CATALOGUE["tiny-llama"].folder, tmp_path / "checkpoint")


def a_studio(checkpoint, policy=PRIVATE, quotas=None, owner="local"):
    store = FakeStore(checkpoint)
    store.put(RUN, some_events(owner=owner))
    return Studio(store, FakeLauncher(store), FakeReader(), {}, policy, quotas=quotas or Quotas())


@pytest.fixture
def home(checkpoint, hub):
    hub.accounts[ANNS] = "ann"
    hub_token.keep(ANNS)
    return a_studio(checkpoint)


@pytest.fixture
def space(checkpoint, hub):
    return a_studio(checkpoint, SPACE, Quotas(pushes_per_hour=2), ANN.name)


def signed_in(token=ANNS, scope="openid profile contribute-repos"):
    return gr.OAuthToken(token=token, scope=scope, expires_at=int(time.time()) + 3600)


def words(markup):
    return " ".join(re.sub(r"<[^>]+>", " ", str(markup)).split())


def ended(studio):
    end = time.monotonic() + 20
    while (found := studio.pushing.pushes.of(RUN)) is None or found.live:
        assert time.monotonic() < end, "the upload does not end"
        time.sleep(0.02)
    return found


def press(section, studio, name=REPO, who="private", token=None, replace=False):
    """What the page says to a press, note and state, by name."""
    updates = push.start(section, studio, RUN, name, who, token, replace)
    return SimpleNamespace(
        note=words(updates.get(section.note, "")),
        state=words(updates.get(section.state, "")),
        asked=updates.get(section.asked),
    )


# ---- what is pushed


@pytest.mark.parametrize("stored", ["plain", "packed"])
def test_the_model_goes_with_its_card_as_the_command_sends_it(section, home, hub, checkpoint, stored):
    before = {file.name: file.read_bytes() for file in checkpoint.iterdir() if file.is_file()}
    if stored == "packed":
        packed.pack_in_place(checkpoint)
    said = press(section, home)
    assert said.note == "" and f"Pushing to {REPO}" in said.state
    assert ended(home).address == f"{hub.url}/{REPO}"
    files = dict(hub.models[REPO])
    card = files.pop("README.md").decode()
    assert (
        card == home.card(home.record(RUN)).replace('"FOLDER"', f'"{REPO}"')
        and f'from_pretrained("{REPO}")' in card
    )
    assert files["model.safetensors"] == before["model.safetensors"]
    assert {name: before[name] for name in files} == files and {"config.json", "tokenizer.json"} <= set(files)
    assert hub.private == {REPO}
    assert f"The model is at {hub.url}/{REPO}" in words(push.now(section, home, RUN)[section.state])


def test_everybody_may_see_it_where_that_was_chosen(section, home, hub):
    press(section, home, who="public")
    ended(home)
    assert REPO in hub.models and hub.private == set()


def test_a_name_without_an_owner_is_in_ones_own_namespace(section, home, hub):
    press(section, home, name=" mine ")
    ended(home)
    assert "ann/mine" in hub.models


def test_the_proposed_name_is_in_ones_own_namespace(section, home):
    shown = push.show(section, home, home.record(RUN))[section.name]
    assert shown == "tiny-b-llama-b-apt-2-4"
    assert push.propose(section, home, RUN, shown, None)[section.name] == f"ann/{shown}"
    assert push.propose(section, home, RUN, "typed", None)[section.name] == "typed"


# ---- never over anything unasked


def test_a_repository_that_is_there_is_asked_about_and_then_gets_a_commit(section, home, hub):
    hub.models[REPO] = {"README.md": b"mine", "notes.txt": b"mine too"}
    said = press(section, home)
    assert said.asked == REPO and f"{REPO} exists already on the Hub" in said.note
    assert home.pushing.pushes.of(RUN) is None and hub.models[REPO]["README.md"] == b"mine"
    press(section, home, name=said.asked, replace=True)
    ended(home)
    assert hub.models[REPO]["README.md"] != b"mine" and hub.models[REPO]["notes.txt"] == b"mine too"


def test_the_question_goes_when_another_name_is_tried(section, home, hub):
    hub.models[REPO] = {}
    assert press(section, home).asked == REPO
    assert press(section, home, name="not a name!").asked == ""


# ---- whose token, whose namespace


def test_a_visitor_pushes_with_their_own_sign_in_alone(section, space, hub):
    with acting_for(ANN):
        assert push.propose(section, space, RUN, None, signed_in())[section.name].startswith("ann/")
        press(section, space, token=signed_in())
        assert ended(space).address == f"{hub.url}/{REPO}"
    assert hub.tokens == {f"Bearer {ANNS}"}, "the token of the machine is not for visitors"


@pytest.mark.parametrize("replace", [False, True])
def test_without_a_sign_in_a_visitor_pushes_nothing(section, space, hub, replace):
    with acting_for(ANN):
        said = press(section, space, token=None, replace=replace)
    assert said.note.startswith("Sign in with Hugging Face first") and hub.asked == []


def test_a_sign_in_that_may_not_write_is_a_sentence_before_the_hub_is_asked(section, space, hub):
    with acting_for(ANN):
        said = press(section, space, token=signed_in(scope="openid profile gated-repos"))
        proposed = push.propose(section, space, RUN, None, signed_in(scope="openid"))
    for note in (said.note, words(proposed[section.note])):
        assert "sign out and in again and allow it" in note and "contribute-repos" in note
    assert hub.asked == []


def test_what_the_hub_does_not_let_a_sign_in_do_is_a_sentence(section, space, hub):
    hub.read_only = True
    with acting_for(ANN):
        said = press(section, space, token=signed_in())
    assert said.note.startswith(f"The Hub does not let your sign-in write to {REPO}") and hub.models == {}


@pytest.mark.parametrize("visitor", [BOB, STRANGER], ids=["another", "a stranger"])
def test_only_its_owner_pushes_a_run(section, space, hub, visitor):
    hub.accounts["hf_of_bob"] = "bob"
    with acting_for(visitor):
        with pytest.raises(NotYours), hub_token.of_visitor("hf_of_bob"):
            space.pushing.begin(RUN, "bob/x", private=True)
        assert not space.pushing.offered(space.record(RUN))
        press(section, space, name="bob/x", token=signed_in("hf_of_bob"))
    assert hub.models == {} and space.pushing.pushes.of(RUN) is None


def test_others_do_not_see_how_far_it_is(section, space, hub):
    with acting_for(ANN):
        press(section, space, token=signed_in())
        ended(space)
    with acting_for(BOB):
        assert push.now(section, space, RUN)[section.state] == ""


def test_a_model_that_is_not_for_everybody_stays(section, space, hub):
    space.store.with_token.add(RUN)
    with acting_for(ANN):
        said = press(section, space, token=signed_in())
        assert not space.pushing.offered(space.record(RUN))
    assert "only for accounts that accepted its terms" in said.note and hub.asked == []


def test_a_public_page_where_nobody_signs_in_offers_nothing(section, checkpoint, hub):
    studio = a_studio(checkpoint, HostPolicy(public=True), owner=ANN.name)
    with acting_for(ANN):
        assert not studio.pushing.offered(studio.record(RUN))
        assert "nothing is pushed from here" in press(section, studio).note
    assert hub.asked == []


def test_at_home_somebody_has_to_be_logged_in(section, checkpoint, hub, monkeypatch):
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: None)
    studio = a_studio(checkpoint)
    assert "give a write token in the page under Hub account" in press(section, studio).note
    assert hub.asked == []


def test_the_namespace_of_somebody_else_is_refused(section, home, hub):
    assert "bob/x is not yours: you are ann on the Hub" in press(section, home, name="bob/x").note
    assert "is no name of a repository" in press(section, home, name="../x").note
    assert hub.models == {}


# ---- what is in the way


def test_where_no_weights_are_left_there_is_nothing_to_push(section, home, hub):
    home.store.weights = None
    assert not home.pushing.offered(home.record(RUN))
    assert "no pruned weights (any more)" in press(section, home).note and hub.models == {}


def test_a_hub_that_breaks_off_is_a_sentence_and_a_second_press_asks(section, home, hub, monkeypatch):
    def broken(self, *args, **kwargs):
        raise RuntimeError("Error while uploading 'model.safetensors' to the Hub.")

    with monkeypatch.context() as once:
        once.setattr(huggingface_hub.HfApi, "preupload_lfs_files", broken)
        press(section, home)
        failed = ended(home)
    assert (
        f"broke off while {REPO} was uploaded; try again." in failed.failure
        and "--force" not in failed.failure
    )
    assert failed.failure in words(push.now(section, home, RUN)[section.state])
    assert press(section, home).asked == REPO
    press(section, home, replace=True)
    assert ended(home).address


def test_so_many_an_hour_and_what_is_refused_is_not_counted(section, space, hub):
    with acting_for(ANN):
        hub.models[REPO] = {}
        for _ in range(4):
            assert press(section, space, token=signed_in()).asked == REPO
        for name in ("ann/one", "ann/two"):
            assert press(section, space, name=name, token=signed_in()).note == ""
            ended(space)
        said = press(section, space, name="ann/three", token=signed_in())
    assert "You may push 2 models to the Hub an hour" in said.note and "ann/three" not in hub.models


# ---- in the background


def test_one_model_is_on_its_way_once_and_so_many_at_once():
    pushes, go = Pushes(), threading.Event()

    def work(watch):
        watch(Uploading("model.safetensors", 10, 20))
        go.wait(10)
        return "there"

    pushes.begin("a", "ann/a", work)
    with pytest.raises(BadInput, match="on its way to ann/a already"):
        pushes.begin("a", "ann/b", work)
    for run in range(pushes_module.AT_ONCE - 1):
        pushes.begin(f"b{run}", "ann/b", work)
    with pytest.raises(OverQuota, match="as many as may be"):
        pushes.check_room("c")
    go.set()
    end = time.monotonic() + 10
    while pushes.of("a").live and time.monotonic() < end:
        time.sleep(0.01)
    assert pushes.of("a").address == "there"


def test_whatever_goes_wrong_is_one_sentence(caplog):
    pushes = Pushes()

    def full(watch):
        raise OSError(28, "No space left on device")

    def odd(watch):
        raise KeyError("secret")

    for run, work, said in (("a", full, "no room to unpack"), ("b", odd, "the log of the app says why")):
        pushes.begin(run, "ann/x", work)
        end = time.monotonic() + 10
        while pushes.of(run).live and time.monotonic() < end:
            time.sleep(0.01)
        assert said in pushes.of(run).failure and "secret" not in pushes.of(run).failure


def test_how_far_it_is_is_said():
    on_its_way = Push("ann/x", 100.0, Uploading("model-2.safetensors", 300_000_000, 400_000_000))
    said = push_state(on_its_way, 112.0)
    assert "Pushing to ann/x: model-2.safetensors" in words(said) and 'aria-valuenow="75"' in said
    assert "300 MB of 400 MB are there, 12 s; it goes on when this page is closed." in words(said)
    assert push_state(None, 0.0) == "" and "broke off" in push_state(
        on_its_way._replace(failure="It broke off."), 0
    )


def test_the_command_says_what_it_always_said(hub):
    hub_token.keep(ANNS)
    hub.models[REPO] = {}
    with pytest.raises(BadInput, match=r"exists already on the Hub; choose another name, or add .* --force"):
        hub_push.make_repository(REPO, PRIVATE)
