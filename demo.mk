# The demonstration, step by step; a step runs again when what it needs has changed.
DEMO        := demo
SUBJECTS    ?= 800
NEW         ?= 40
CAD         := bundles/ukbb_cardiac_cad_classification/configs
TIP         := bundles/ukbb_cardiac_tip_pretraining/configs
RUN         := $(BIN)/python -W ignore -m monai.bundle run
CLASSIFIER  := --bundle_root $(DEMO)/cad --tip_file $(DEMO)/tip/models/tip.pt

demo: $(DEMO)/cad/eval/evaluate/comparison.csv $(DEMO)/cad/eval/inference/summary.txt
	@cat $(DEMO)/cad/eval/evaluate/comparison.txt
	@cat $(DEMO)/cad/eval/inference/summary.txt
	@echo
	@echo "Simulated data: these figures say nothing about patients."
	@echo "Every decision: $(DEMO)/cad/eval/inference/predictions.csv and decisions.jsonl"
	@echo "Runs:           $(BIN)/mlflow ui --backend-store-uri sqlite:///$(DEMO)/cad/eval/mlflow.db"

# Simulated downloads in the file forms of UK Biobank: one to train on, one of new patients, partly without tables.
$(DEMO)/download/participants.csv: | .venv/installed
	rm -rf $(DEMO)/download
	$(BIN)/dymo-med synth --output $(DEMO)/download --n-subjects $(SUBJECTS) --seed 1 --n-workers 2

$(DEMO)/new_download/participants.csv: | .venv/installed
	rm -rf $(DEMO)/new_download
	$(BIN)/dymo-med synth --output $(DEMO)/new_download --n-subjects $(NEW) --seed 2 --table-absent-rate 0.5 --faults --n-workers 2

# Cohorts that the bundles read.
$(DEMO)/cohort/cohort.json: $(DEMO)/download/participants.csv
	$(BIN)/dymo-med prepare --tables $< --images $(DEMO)/download/imaging --output $(DEMO)/cohort --key-file $(DEMO)/keys/pseudonyms.key --data-kind simulated --image-size 64 --image-spacing 2.6 --fractions 0.6 0.15 0.25 --n-workers 2

$(DEMO)/new_cohort/cohort.json: $(DEMO)/new_download/participants.csv $(DEMO)/cohort/cohort.json
	$(BIN)/dymo-med prepare --tables $< --images $(DEMO)/new_download/imaging --output $(DEMO)/new_cohort --key-file $(DEMO)/keys/pseudonyms.key --data-kind simulated --schema $(DEMO)/cohort --image-size 64 --image-spacing 2.6 --n-workers 2

# Recovery, classifier, comparison of strategies, predictions.
$(DEMO)/tip/models/tip.pt: $(DEMO)/cohort/cohort.json
	$(RUN) --config_file "['$(TIP)/train.yaml','$(TIP)/small.yaml']" --bundle_root $(DEMO)/tip --dataset_dir $(DEMO)/cohort

$(DEMO)/cad/models/model.pt: $(DEMO)/cohort/cohort.json
	$(RUN) --config_file "['$(CAD)/train.yaml','$(CAD)/small.yaml']" $(CLASSIFIER) --dataset_dir $(DEMO)/cohort

$(DEMO)/cad/eval/evaluate/comparison.csv: $(DEMO)/cad/models/model.pt $(DEMO)/tip/models/tip.pt
	$(RUN) --config_file "['$(CAD)/train.yaml','$(CAD)/evaluate.yaml','$(CAD)/small.yaml']" $(CLASSIFIER) --dataset_dir $(DEMO)/cohort

$(DEMO)/cad/eval/inference/summary.txt: $(DEMO)/cad/models/model.pt $(DEMO)/tip/models/tip.pt $(DEMO)/new_cohort/cohort.json
	$(RUN) --config_file "['$(CAD)/train.yaml','$(CAD)/inference.yaml','$(CAD)/small.yaml']" $(CLASSIFIER) --dataset_dir $(DEMO)/new_cohort
