// TorchScript modules in the forms in which libtorch runs them fast, as C functions.
// Tensors cross as torch-sys has them: at::Tensor*. No exception crosses. A function returns null, or a message for free().
#include <torch/csrc/jit/python/update_graph_executor_opt.h>
#include <torch/script.h>

#include <cstring>
#include <memory>
#include <stdexcept>

namespace {

struct Program {
  torch::jit::Module module;
  bool channels_last;
};

template <class F>
char* guarded(F work) {
  try {
    work();
    return nullptr;
  } catch (const std::exception& error) {
    return strdup(error.what());
  } catch (...) {
    return strdup("an exception of an unknown type");
  }
}

// The tensors in a value, in their order: of tuples and lists, one after the other.
void collect(const c10::IValue& value, std::vector<at::Tensor>& into) {
  if (value.isTensor()) {
    into.push_back(value.toTensor());
  } else if (value.isTuple()) {
    for (const auto& element : value.toTupleRef().elements()) collect(element, into);
  } else if (value.isList()) {
    for (const c10::IValue& element : value.toListRef()) collect(element, into);
  } else {
    throw std::runtime_error("it returned a " + value.tagKind() + "; only tensors, tuples and lists are taken");
  }
}

}  // namespace

extern "C" {

char* lockstep_torch_load(const char* path, const char* device, bool fused, bool channels_last, Program** out) {
  return guarded([&] {
    torch::NoGradGuard no_grad;
    // A frozen module has no methods below forward: only the graph into which the optimiser has inlined them can be run.
    torch::jit::GraphOptimizerEnabledGuard inlined(true);
    auto module = torch::jit::load(path, at::Device(device));
    module.eval();
    module = torch::jit::freeze(module);
    if (fused) module = torch::jit::optimize_for_inference(module);
    *out = new Program{std::move(module), channels_last};
  });
}

char* lockstep_torch_run(Program* program, at::Tensor* const* in, size_t inputs, at::Tensor** out, size_t capacity,
                         size_t* outputs) {
  return guarded([&] {
    torch::NoGradGuard no_grad;
    torch::jit::GraphOptimizerEnabledGuard inlined(true);
    std::vector<c10::IValue> given;
    for (size_t i = 0; i < inputs; i++) {
      const bool turned = program->channels_last && in[i]->dim() == 4 && in[i]->is_floating_point();
      given.emplace_back(turned ? in[i]->contiguous(at::MemoryFormat::ChannelsLast) : *in[i]);
    }
    std::vector<at::Tensor> returned;
    collect(program->module.forward(std::move(given)), returned);
    *outputs = returned.size();
    if (returned.size() > capacity) return;
    std::vector<std::unique_ptr<at::Tensor>> owned;
    for (auto& tensor : returned) owned.push_back(std::make_unique<at::Tensor>(std::move(tensor)));
    for (size_t i = 0; i < owned.size(); i++) out[i] = owned[i].release();
  });
}

void lockstep_torch_unload(Program* program) {
  guarded([&] { delete program; });
}
}
