"""Registration, contexts, plans and the one request pipeline."""
