"""Leave the state of live widgets out of the built pages.

An interactive figure shows itself twice: as a widget where a kernel runs, and
as plain HTML with all its frames. The built page uses the HTML
(``nb_mime_priority_overrides``), but myst-nb would still add the widgets'
state, and so store every frame a second time.
"""

from myst_nb.sphinx_ import NbMetadataCollector


def drop_widget_state(app, doctree):
    """Forget the widget state that myst-nb has just collected."""
    NbMetadataCollector.get_js_files(app.env, app.env.docname).pop("ipywidgets_state", None)


def setup(app):
    """Register the extension with Sphinx."""
    app.connect("doctree-read", drop_widget_state)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
