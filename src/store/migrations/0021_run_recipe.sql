-- The reports by a recipe are searched for a second one with the same lock, and its newest run for a refresh.
CREATE INDEX run_recipe ON run (recipe, variant, platform);
