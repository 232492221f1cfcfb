from omniges.api.models import OF_SHAPED_NOISE, default_sampling


def test_a_model_takes_the_steps_that_its_noise_wants_in_windows_as_in_training():
    provenance = {"train": {"window_frames": 64}}
    white, shaped = (default_sampling(provenance, noise) for noise in ("white", "shaped"))
    assert white.first_step == "mean"
    assert white.window_frames == shaped.window_frames == 64
    assert white.overlap_frames == shaped.overlap_frames == 16
    assert white.model_copy(update=OF_SHAPED_NOISE) == shaped != white
