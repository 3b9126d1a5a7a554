"""How an ask is chosen: guardrails, scores, exploration, one probability for every ask, one draw."""
