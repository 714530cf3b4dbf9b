"""The sample-ratio check: are as many devices canaries as the plan's share says?

Source: M. Lindon, A. Malek, "Anytime-Valid Inference for Multinomial Count Data" (2022).

Each enrolment is canary with probability p, the plan's share. The bet is on an unknown other share with a uniform prior: after n1
canaries and n0 controls its wealth is

    B(n1 + 1, n0 + 1) / (p^n1 (1 - p)^n0),   B the beta function.

Why it is an e-process (sketch): the numerator is a mixture of Bernoulli likelihoods over all shares, so the ratio is a mixture of
likelihood ratios, each a nonnegative martingale under p. Where the draw balances its strata, as ours does, counts are nearer to p
than independent draws would be, and the wealth is smaller still.
"""

from __future__ import annotations

import math

SUSPICIOUS = 3.0
"""log10 of the e-value from which on arms are not believed to be those of the plan: once in 1,000 sound rollouts at most."""


def log10_e(canaries: int, controls: int, share: float) -> float:
    """log10 of the wealth, rounded to nine decimals; `share` lies between 0 and 1, both excluded."""
    beta = math.lgamma(canaries + 1) + math.lgamma(controls + 1) - math.lgamma(canaries + controls + 2)
    null = canaries * math.log(share) + controls * math.log1p(-share)
    return round((beta - null) / math.log(10.0), 9) + 0.0


def is_suspicious(canaries: int, controls: int, share: float) -> bool:
    """Whether the arms' sizes belie the share; never where the plan draws one arm only."""
    return 0.0 < share < 1.0 and log10_e(canaries, controls, share) >= SUSPICIOUS
