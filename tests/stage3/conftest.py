"""Fixtures of tests of finetune_test.py. Keras is imported only where they are used."""

import pytest


@pytest.fixture
def no_training(monkeypatch):
    from utils.stage3.fine_tuning import FineTuner

    monkeypatch.setattr(FineTuner, "fit", lambda *_, **__: pytest.fail("training began"))


@pytest.fixture
def stop_at_work(monkeypatch):
    """Call it, and a video that is not skipped raises RedoneError."""
    import finetune_test
    from tests.stage3_world import RedoneError

    def raise_error(*_, **__):
        raise RedoneError

    return lambda: monkeypatch.setattr(finetune_test, "segment", raise_error)
