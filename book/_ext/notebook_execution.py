"""Execute notebooks in a quiet kernel, again when their inputs change.

Inputs: jupyter-cache looks at a notebook's own cells only, so a change in the
package would leave stale outputs on the page. Here the cache lives in a folder
named after a digest of the files listed under ``execution_inputs``. Its path is
part of Sphinx's environment, so a new digest makes every page outdated and
finds an empty cache.

Speed: MyST-NB executes a notebook when it reads its page, one page after the
other. Most cells keep one core busy, so here the notebooks that the cache lacks
are executed side by side before any page is read, and reading finds them there.

Failures: Sphinx reports a warning when it reads a page, and does not read an
unchanged page again. With ``-W --keep-going`` a broken book would therefore
pass the second time. Here a build with warnings does not keep its environment,
so that the next one reads, and reports, everything again.

Kernel: TensorFlow's native code writes a few lines to standard error when it
starts, with times and process numbers in them, and no setting silences it. An
ordinary kernel stores them as outputs. The kernel in ``book/_kernel`` leaves
them on the terminal. It bears the usual name, python3, so that the notebooks
run anywhere else too; pytest's kernels (``--nbval``) do the same by themselves.

Lines: what a cell prints may arrive in several parts, also within a line. They
are joined as they are executed. (MyST-NB's ``nb_merge_streams`` joins them when
they are rendered, and ends each part with a line break.)
"""

import functools
import hashlib
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbclient
import nbformat
from jupyter_cache import get_cache
from jupyter_cache.executors import utils as executors
from myst_nb.core.execute import create_client
from sphinx.application import ENV_PICKLE_FILENAME
from sphinx.util import logging
from sphinx.util.display import status_iterator

KERNEL = Path(__file__).parents[1] / "_kernel"
MOST_KERNELS = 4  # each holds up to two gigabytes


def digest(root, patterns):
    """Hash names and contents of the files that match one of `patterns`.

    Args:
        root: folder of the book.
        patterns: glob patterns relative to `root`; ``**`` crosses folders.

    Returns:
        Twelve hexadecimal digits.
    """
    root = Path(root)
    files = {path for pattern in patterns for path in root.glob(pattern) if path.is_file()}
    total = hashlib.sha256()
    for path in sorted(files):
        total.update(path.relative_to(root).as_posix().encode() + b"\0")
        total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()[:12]


def choose_cache_and_kernel(app, config):
    """Choose the cache of the present inputs, and the book's own kernel."""
    caches = Path(app.outdir).parent / ".jupyter_cache"
    config.nb_execution_cache_path = str(caches / digest(app.srcdir, config.execution_inputs))
    paths = [str(KERNEL), *filter(None, [os.environ.get("JUPYTER_PATH")])]
    os.environ["JUPYTER_PATH"] = os.pathsep.join(paths)


def execute_side_by_side(app, env, docnames):
    """Execute the notebooks among the pages to be read, as many at a time as there are cores."""
    cache = get_cache(env.mystnb_config.execution_cache_path)
    cache.list_cache_records()  # creates the database, which threads cannot do at the same time
    logger = logging.getLogger(__name__)
    logger.setLevel("WARNING")  # its messages do not say which notebook they are about

    def execute(path):
        notebook = nbformat.read(path, nbformat.NO_CONVERT)
        with create_client(notebook, path, env.mystnb_config, logger):
            return Path(path).name

    paths = [str(path) for path in map(env.doc2path, docnames) if str(path).endswith(".ipynb")]
    with ThreadPoolExecutor(min(os.cpu_count() or 1, MOST_KERNELS)) as pool:
        done = pool.map(execute, paths)
        for _ in status_iterator(
            done, "executing notebooks, or finding outputs... ", length=len(paths)
        ):
            pass


def tidy(app, exception):
    """Drop the environment after warnings, and older caches otherwise."""
    if exception is not None:
        return
    if app._warncount:
        Path(app.doctreedir, ENV_PICKLE_FILENAME).unlink(missing_ok=True)
        return
    current = Path(app.config.nb_execution_cache_path)
    if current.is_dir():
        for path in current.parent.iterdir():
            if path != current:
                shutil.rmtree(path)


def setup(app):
    """Register the extension with Sphinx."""
    app.add_config_value("execution_inputs", [], "env", list)
    executors.executenb = functools.partial(nbclient.execute, coalesce_streams=True)
    app.connect("config-inited", choose_cache_and_kernel)
    app.connect("env-before-read-docs", execute_side_by_side)
    app.connect("build-finished", tidy)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
