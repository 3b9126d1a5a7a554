"""Catalogs: what a site may ask, read from files that people write.

``document`` reads YAML safely, ``values`` and ``schema`` say what each field may hold, ``references`` what must hold
between fields, ``reachability`` whether the baseline can convert; ``loading`` and ``dumping`` are the way in and out,
``folder`` follows a folder of catalogs while it is edited.
"""

from data.catalog.dumping import digest_of, dump_catalog, tree_of
from data.catalog.folder import CatalogFolder
from data.catalog.loading import catalog_from_tree, check_catalog, load_catalog, load_folder, parse_catalog
from data.catalog.reachability import Walk, walk_baseline
from data.catalog.values import MAX_ASKS_PER_DAY

__all__ = [
    "MAX_ASKS_PER_DAY",
    "CatalogFolder",
    "Walk",
    "catalog_from_tree",
    "check_catalog",
    "digest_of",
    "dump_catalog",
    "load_catalog",
    "load_folder",
    "parse_catalog",
    "tree_of",
    "walk_baseline",
]
