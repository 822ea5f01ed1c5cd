"""The architecture viewer: modules folded into a tree, hook sites with what is there, and what a layer lacks."""

import pytest
from django.urls import reverse

from apps.core.storage import data_path, folder_bytes
from apps.language_models.architecture import module_tree
from apps.language_models.hook_sites import layers_with_sites
from apps.language_models.models import LanguageModel
from apps.language_models.selectors import language_model_folder
from apps.language_models.stream_diagram import block_drawing
from tests.apps.prepared import job_about, make_cache, make_language_model
from tests.apps.training.worlds import evaluation_finish, sae_make

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
    assert [child.name for child in block.children] == ["q", "k"]
    assert (head.shape, head.dtype, head.share) == ((5, 8), "bfloat16", 0.4)


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
    (site,) = layer.sites
    assert (site.saes[0].row, site.saes[0].fvu, site.saes[0].l0) == (sae, 0.33, 4.0)
    assert site.summary == "1 SAE, best FVU 0.33 at L0 4; 1 cache; 1 run"
    assert layer.best.fvu == 0.33
    assert site.train_url == f"{reverse('training:new')}?activation_cache={site.caches[0].pk}"


def test_without_a_cache_the_link_leads_to_the_form_that_makes_one():
    language_model = make_language_model()
    site = layers_with_sites(language_model)[1].sites[0]
    query = f"language_model={language_model.pk}&layer=1&site=resid_pre"
    assert site.train_url == site.cache_url == f"{reverse('activations:new')}?{query}"


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
