// Packages of torch.export as C functions: portable ones by nativert, machine code by AOTInductor.
// Tensors cross as torch-sys has them: at::Tensor*. No exception crosses. A function returns null, or a message for free().
#include <ATen/Tensor.h>
#include <c10/core/InferenceMode.h>
#include <c10/util/Logging.h>
#include <caffe2/serialize/inline_container.h>
#include <torch/csrc/inductor/aoti_package/model_package_loader.h>
#include <torch/nativert/ModelRunnerHandle.h>

#include <cstring>
#include <memory>

namespace {

struct Package {
  std::unique_ptr<torch::nativert::ModelRunnerHandle> portable;
  std::unique_ptr<torch::inductor::AOTIModelPackageLoader> compiled;
};

bool is_compiled(const char* path) {
  caffe2::serialize::PyTorchStreamReader reader{std::string(path)};
  for (const auto& name : reader.getAllRecords()) {
    if (name.find("aotinductor/") != std::string::npos) return true;
  }
  return false;
}

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

}  // namespace

extern "C" {

char* lockstep_pt2_load(const char* path, Package** out) {
  return guarded([&] {
    // nativert warns of each operator for which it has no kernel of its own; libtorch's are used. Errors are thrown.
    FLAGS_caffe2_log_level = 2;
    auto package = std::make_unique<Package>();
    if (is_compiled(path)) {
      // One runner on the CPU: the thread that owns the model makes one call at a time.
      package->compiled = std::make_unique<torch::inductor::AOTIModelPackageLoader>(path, "model", true, 1, -1);
    } else {
      package->portable = std::make_unique<torch::nativert::ModelRunnerHandle>(path, "model");
    }
    *out = package.release();
  });
}

char* lockstep_pt2_run(Package* package, at::Tensor* const* in, size_t inputs, at::Tensor** out, size_t capacity,
                       size_t* outputs) {
  return guarded([&] {
    c10::InferenceMode guard;
    std::vector<at::Tensor> returned;
    if (package->compiled) {
      std::vector<at::Tensor> given;
      for (size_t i = 0; i < inputs; i++) given.push_back(*in[i]);
      returned = package->compiled->boxed_run(std::move(given));
    } else {
      std::vector<c10::IValue> given;
      for (size_t i = 0; i < inputs; i++) given.emplace_back(*in[i]);
      for (auto& value : package->portable->runWithFlatInputsAndOutputs(std::move(given))) {
        returned.push_back(value.toTensor());
      }
    }
    *outputs = returned.size();
    if (returned.size() > capacity) return;
    std::vector<std::unique_ptr<at::Tensor>> owned;
    for (auto& tensor : returned) owned.push_back(std::make_unique<at::Tensor>(std::move(tensor)));
    for (size_t i = 0; i < owned.size(); i++) out[i] = owned[i].release();
  });
}

void lockstep_pt2_unload(Package* package) {
  guarded([&] { delete package; });
}
}
