"""The architecture viewer: modules folded into a tree, hook sites with what is there, and what a layer lacks."""

import pytest
from django.urls import reverse

from apps.core.storage import data_path, folder_bytes
from apps.language_models.architecture import module_tree
from apps.language_models.hook_sites import layers_with_sites
from apps.language_models.models import LanguageModel
from apps.language_models.selectors import language_model_folder
from apps.language_models.stream_diagram import block_drawing
from apps.training.services import training_start
from tests.apps.prepared import job_about, make_cache, make_language_model, make_tokenization
from tests.apps.training.worlds import cache_make, evaluation_finish, sae_make, text_spec_make

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("fresh_data_dir")]


def row(path: str, parameters: int, shape: list[int] | None = None) -> dict:
    depth = path.count(".") + 1 if path else 0
    return {"path": path, "class": "Linear", "parameters": parameters, "shape": shape or [], "depth": depth}


def test_equal_blocks_are_one_node_and_the_shares_add_up():
    blocks = [
        line
        for number in range(3)
        for line in (row(f"h.{number}", 20), row(f"h.{number}.q", 12, [3, 4]), row(f"h.{number}.k", 8, [2, 4]))
    ]
    modules = [row("", 100), row("h", 60), *blocks, row("head", 40, [5, 8])]
    tree = module_tree(LanguageModel(parameters=100, dtype="bfloat16", report={"modules": modules}))
    h, head = tree.children
    (block,) = h.children
    assert (block.name, block.count, block.parameters, block.share) == ("0 to 2", 3, 20, pytest.approx(0.6))
    assert [(child.name, child.parameters) for child in block.children] == [("q", 12), ("k", 8)]
    assert sum(child.share for child in block.children) == pytest.approx(block.share)
    assert (head.shape, head.dtype, head.share) == ((5, 8), "bfloat16", 0.4)


def test_a_tied_head_has_no_share_of_its_own(client_in):
    modules = [row("", 100), row("embed", 60, [6, 10]), row("head", 60, [6, 10]) | {"tied_to": "embed"}, row("n", 40)]
    language_model = make_language_model()
    language_model.report["modules"], language_model.parameters = modules, 100
    language_model.save()
    tree = module_tree(language_model)
    assert sum(node.share for node in tree.children) == pytest.approx(1)
    assert "tied to embed" in client_in.get(language_model.get_absolute_url()).text


def test_blocks_that_differ_stay_apart():
    modules = [row("", 100), row("h", 60), row("h.0", 20), row("h.1", 40)]
    tree = module_tree(LanguageModel(parameters=100, dtype="float32", report={"modules": modules}))
    assert [node.name for node in tree.children[0].children] == ["0", "1"]


def test_a_site_knows_its_saes_with_their_measures_its_caches_and_runs():
    sae = sae_make()
    evaluation_finish(sae.evaluations.get())
    language_model = sae.language_model
    language_model.layers = 4
    layer = layers_with_sites(language_model)[3]
    site = next(site for site in layer.sites if site.site == "resid_post")
    assert (site.saes[0].row, site.saes[0].fvu, site.saes[0].l0) == (sae, 0.33, 4.0)
    assert site.summary == "1 SAE, best FVU 0.33 at L0 4; 1 cache; 1 run"
    assert layer.best.fvu == 0.33
    assert site.train_url == f"{reverse('training:new')}?activation_cache={site.caches[0].pk}"


def test_without_a_cache_the_form_trains_straight_from_text(client_in):
    tokenization = make_tokenization()
    language_model = tokenization.language_model
    site = layers_with_sites(language_model)[1].sites[0]
    page = client_in.get(site.train_url)
    initial = page.context["form"].initial
    assert (initial["source"], initial["hook_sites"], initial["d_sae"]) == ("text", "1.resid_pre", str(8 * 32))
    assert f'<option value="{tokenization.pk}" selected>' in page.text
    assert f'<option value="{language_model.pk}" selected>' in page.text


def test_without_any_text_the_site_says_what_comes_first(client_in):
    language_model = make_language_model()
    site = layers_with_sites(language_model)[1].sites[0]
    assert site.text is None and "tokenization=" not in site.train_url
    url = reverse("language_models:site", args=[language_model.pk, 1, "resid_pre"])
    assert "tokenize a dataset" in client_in.get(url, headers={"HX-Request": "true"}).text


def test_a_run_that_reads_text_stands_at_each_of_its_sites_with_the_best_of_its_saes_there():
    cache = cache_make()
    run = training_start(spec=text_spec_make(cache, hook_sites=("3.resid_post", "2.resid_post"), sweep_k=(4, 8)))
    run.members.filter(layer=3, sparsity=8).update(fvu=0.2, l0=8.0)
    run.members.filter(layer=3, sparsity=4).update(fvu=0.3, l0=4.0)
    layers = layers_with_sites(run.language_model)
    for layer, fvu in ((3, 0.2), (2, None)):
        site = next(site for site in layers[layer].sites if site.site == "resid_post")
        assert [(there.row, there.fvu) for there in site.runs] == [(run, fvu)]
    assert not next(site for site in layers[3].sites if site.site == "mlp_in").runs


def test_a_site_that_a_layer_lacks_is_named_with_the_reason(client_in):
    language_model = make_language_model()
    layer = layers_with_sites(language_model)[0]
    assert "side by side" in dict(layer.missing)["resid_mid"]
    page = client_in.get(language_model.get_absolute_url()).content.decode()
    assert "is absent: attention and MLP run side by side" in page
    answer = client_in.get(language_model.get_absolute_url(), {"layer": 0, "site": "resid_mid"})
    assert answer.status_code == 400 and "side by side" in answer.content.decode()


def test_the_drawing_has_a_node_for_each_site_in_the_order_of_the_forward_pass():
    drawing = block_drawing(layers_with_sites(make_language_model())[0])
    assert [node.there.site for node in drawing.nodes] == ["resid_pre", "mlp_out", "resid_post"]
    assert [node.y for node in drawing.nodes] == sorted(node.y for node in drawing.nodes)
    assert all(node.x >= 0 and node.x + node.width <= drawing.width for node in drawing.nodes)
    assert len(drawing.sums) == 1


def test_a_click_brings_the_part_and_a_plain_link_the_page(client_in):
    cache = make_cache()
    url = reverse("language_models:site", args=[cache.language_model_id, 1, "resid_post"])
    part = client_in.get(url, headers={"HX-Request": "true"}).content.decode()
    assert part.strip().startswith("<section") and f"activation_cache={cache.pk}" in part
    plain = client_in.get(url)
    assert plain.status_code == 302 and "layer=1&site=resid_post" in plain.url
    assert f"activation_cache={cache.pk}" in client_in.get(plain.url).content.decode()


def test_the_endpoint_lists_sites_with_what_is_there_and_links(client_in):
    cache = make_cache()
    sites = client_in.get(f"/api/v1/models/{cache.language_model_id}/architecture").json()["sites"]
    there = next(site for site in sites if (site["layer"], site["site"]) == (1, "resid_post"))
    assert there["width"] == 32 and [found["id"] for found in there["caches"]] == [cache.pk]
    assert there["links"]["train"].endswith(f"activation_cache={cache.pk}")


def test_the_page_asks_the_database_equally_often_for_many_caches(client_in, django_assert_max_num_queries):
    cache = make_cache()
    for _ in range(20):
        cache.pk = None
        cache.save()
    with django_assert_max_num_queries(20):
        assert client_in.get(cache.language_model.get_absolute_url()).status_code == 200


def test_a_deletion_frees_the_bytes_it_announced(client_in, settings):
    language_model = make_language_model()
    (language_model_folder(language_model.pk) / "model.safetensors").write_bytes(b"w" * 5000)
    before = folder_bytes(settings.DATA_DIR)
    page = client_in.get(reverse("language_models:delete", args=[language_model.pk])).content.decode()
    freed = client_in.delete(f"/api/v1/models/{language_model.pk}").json()["freed_bytes"]
    assert f'title="{freed:,} bytes"' in page
    assert freed > 5000 and before - folder_bytes(settings.DATA_DIR) == freed


def test_a_model_whose_download_broke_frees_what_lay_with_its_job(client_in, settings):
    language_model = make_language_model(is_ready=False)
    job = job_about(language_model, state="failed")
    rest = data_path("jobs", job.pk, "download")
    rest.mkdir(parents=True)
    (rest / "part.incomplete").write_bytes(b"x" * 700)
    assert client_in.delete(f"/api/v1/models/{language_model.pk}").json()["freed_bytes"] == 700
    assert not rest.exists()
