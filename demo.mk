# The demonstration: simulated downloads through the workflow that a real one takes.
DEMO        := demo
SUBJECTS    ?= 800
NEW         ?= 40
WORKFLOW    := pipelines/ukbb_cardiac

demo: $(DEMO)/download/participants.csv $(DEMO)/new_download/participants.csv
	$(BIN)/snakemake --profile $(WORKFLOW)/profiles/local --configfile $(WORKFLOW)/config/demo.yaml --cores $(WORKERS) --config threads=$(WORKERS) --quiet
	@cat $(DEMO)/cad/eval/evaluate/comparison.txt
	@cat $(DEMO)/cad/eval/inference/summary.txt
	@echo
	@echo "Simulated data: these figures say nothing about patients."
	@echo "Every decision: $(DEMO)/cad/eval/inference/predictions.csv and decisions.jsonl"
	@echo "Runs:           $(BIN)/mlflow ui --backend-store-uri sqlite:///$(DEMO)/cad/eval/mlflow.db"

# Simulated downloads in the file forms of UK Biobank: one to train on, one of new patients, partly without tables.
$(DEMO)/download/participants.csv: | .venv/installed
	rm -rf $(DEMO)/download
	$(BIN)/dymo-med synth --output $(DEMO)/download --n-subjects $(SUBJECTS) --seed 1 --n-workers $(WORKERS)

$(DEMO)/new_download/participants.csv: | .venv/installed
	rm -rf $(DEMO)/new_download
	$(BIN)/dymo-med synth --output $(DEMO)/new_download --n-subjects $(NEW) --seed 2 --table-absent-rate 0.5 --faults --n-workers $(WORKERS)
