from types import SimpleNamespace

import pytest
from injected import INJECTIONS, make

from speechgru.audit import audit


@pytest.fixture(scope="session")
def bad(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A corpus with one problem of each kind, its manifests and its audit."""
    corpus, paths = make(tmp_path_factory.mktemp("bad"), len(INJECTIONS), 100)
    return SimpleNamespace(corpus=corpus, paths=paths, report=audit(paths))
