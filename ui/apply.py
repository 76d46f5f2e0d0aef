"""Apply this: the commands that serve a scenario, what differs from today's, and the same for a pod."""

from collections.abc import Sequence

import streamlit as st

from costlib.compare import Comparison
from costlib.errors import PermillionError
from costlib.flags import Served, commands, container_yaml
from store.vllm_flags import load_flag_table
from ui import data, text


def panel(today: data.Today, comparison: Comparison) -> None:
    """One block a deployment, for the release of vLLM that is chosen."""
    table = load_flag_table()
    newest_first = list(reversed(table.releases))
    release = st.selectbox(
        "vLLM", newest_first, index=newest_first.index(table.defaults_release), key="vllm", bind="query-params",
        width=160, help="Options are checked against this release's own.",
    )  # fmt: skip
    try:
        served = commands(today.scenario, comparison.changed, today.catalog, table.at(release))
    except PermillionError as error:
        st.error(text.label(error, text.A_PARAGRAPH), icon=":material/error:")
        return
    blocks(served)


def blocks(served: Sequence[Served]) -> None:
    for one in served:
        changes = len(one.changes)
        state = "as today" if not changes else "1 option differs" if changes == 1 else f"{changes} options differ"
        st.markdown(f"{text.label(one.deployment_key)}: {state if one.scenario else text.label(one.why)}")
        if one.scenario is None:
            continue
        if one.changes:
            st.code("\n".join(text.plain(change.text, 400) for change in one.changes), language="diff", wrap_lines=True)
        st.code(one.scenario.line, language="bash", wrap_lines=True)
        for note in (*one.scenario.missing, *one.scenario.notes):
            st.caption(text.sentence(note))
        with st.popover("For Kubernetes", icon=":material/deployed_code:", key=f"pod-{one.deployment_key}"):
            st.code(container_yaml(one.scenario), language="yaml")
