// Whether the network that answers clicks is there.

import * as api from "./api.js";
import { $, setText } from "./dom.js";
import { showWaiting } from "./label.js";
import { askForProposals } from "./proposals.js";
import { state } from "./state.js";

const POLL_MS = 400;

/** Asks until it is loaded, and says so meanwhile. */
export async function watchNetwork() {
  const answer = await api.getJson("/api/network").catch(() => null);
  if (!answer) {
    setTimeout(watchNetwork, api.RETRY_MS);
    return;
  }
  const { state: network, reason } = answer;
  const texts = {
    loading: "The network is being loaded. Clicks wait for it.",
    failed: `Clicks use colours only: ${reason}`,
  };
  setText($("network"), texts[network] ?? "");
  $("network").hidden = !texts[network];
  if (network !== state.network) {
    state.network = network;
    showWaiting();
    askForProposals();
  }
  if (network === "loading") setTimeout(watchNetwork, POLL_MS);
}
