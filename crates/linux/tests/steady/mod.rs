mod engine;
mod interfaces;
