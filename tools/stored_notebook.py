"""Store executed notebooks without what differs from one run to the next: `make notebooks`.

A stored widget refers to a kernel that is gone: a viewer would show an error in its place, instead
of the figure's own HTML.
"""

from nbconvert.preprocessors import Preprocessor

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"


class KeepWhatLasts(Preprocessor):
    """Drop widgets, their state, and the version of Python."""

    def preprocess(self, nb, resources):
        """Clean the notebook `nb` in place."""
        nb.metadata.pop("widgets", None)
        nb.metadata.get("language_info", {}).pop("version", None)
        for cell in nb.cells:
            for output in cell.get("outputs", []):
                output.get("data", {}).pop(WIDGET_VIEW, None)
        return nb, resources
