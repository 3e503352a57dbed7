"""Optimizers with a learning rate for the head and one for the backbone, and their schedule."""

import keras

from models.backbone import BACKBONE

GRADIENT_CLIP_NORM = 1.0  # of a variable; longer ones are scaled to this norm
FUSING_LAYER = "mask_logits/"  # the head's last convolution


class AdamW(keras.optimizers.AdamW):
    """Keras's own, which computes the learning rate once per update, not once per variable.

    A schedule is many operations. Traced anew for the weight decay of each of 171 variables, they
    were a third of the time before the first step. With TensorFlow, a variable's update is one
    operation, which passes over its memory once: as a dozen, updates take a tenth of the time of a
    step on a CPU.
    """

    _rate_of_update = None

    @property
    def learning_rate(self):
        rate = self._rate_of_update
        return super().learning_rate if rate is None else rate

    @learning_rate.setter
    def learning_rate(self, value):
        keras.optimizers.AdamW.learning_rate.fset(self, value)

    def apply(self, grads, trainable_variables=None):
        """See `keras.optimizers.Optimizer.apply`."""
        self._rate_of_update = super().learning_rate
        try:
            return super().apply(grads, trainable_variables)
        finally:
            self._rate_of_update = None  # a tensor of this trace means nothing in another

    def update_step(self, gradient, variable, learning_rate):
        """See `keras.optimizers.Optimizer.update_step`."""
        if keras.backend.backend() != "tensorflow":
            super().update_step(gradient, variable, learning_rate)
            return
        import tensorflow as tf

        index = self._get_variable_index(variable)
        step = tf.cast(self.iterations + 1, variable.dtype)
        first, second = tf.constant(self.beta_1), tf.constant(self.beta_2)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=tf.pow(first, step),
            beta2_power=tf.pow(second, step),
            lr=tf.cast(learning_rate, variable.dtype),
            beta1=first,
            beta2=second,
            epsilon=self.epsilon,
            grad=gradient,
        )


def make_optimizer(
    head_learning_rate,
    backbone_learning_rate,
    weight_decay: float = 1e-4,
    accumulate: int = 1,
) -> keras.optimizers.Optimizer:
    """AdamW with one learning rate (or schedule) for the head and one for the ImageNet backbone.

    A fresh head learns ten times faster than a backbone that must not forget.

    Args:
        head_learning_rate, backbone_learning_rate: numbers or schedules.
        weight_decay: of kernels and all other variables, decoupled from the gradients.
        accumulate: batches whose gradients are averaged into one update.

    Returns:
        one optimizer for `compile`. Its variables have the same paths in every process, which
        backups rely on; without names Keras would number the optimizers.
    """
    head, backbone = (
        AdamW(
            rate,
            weight_decay=weight_decay,
            clipnorm=GRADIENT_CLIP_NORM,
            gradient_accumulation_steps=accumulate if accumulate > 1 else None,
            name=name,
        )
        for rate, name in (
            (head_learning_rate, "head_adamw"),
            (backbone_learning_rate, "backbone_adamw"),
        )
    )

    def choose(variable):
        return head if BACKBONE.block_number(variable.path) is None else backbone

    return keras.optimizers.MultiOptimizer(choose, name="head_and_backbone")


def make_paper_optimizer(learning_rate: float, momentum: float) -> keras.optimizers.Optimizer:
    """The original's optimizer of stage 3: gradient descent with momentum at a constant learning
    rate, of which the convolution that fuses the side outputs gets a hundredth (its bias two)."""
    everything, kernel, bias = (
        keras.optimizers.SGD(learning_rate * share, momentum=momentum, name=name)
        for share, name in ((1.0, "sgd"), (0.01, "fusing_kernel_sgd"), (0.02, "fusing_bias_sgd"))
    )

    def choose(variable):
        if not variable.path.startswith(FUSING_LAYER):
            return everything
        return bias if variable.path.endswith("bias") else kernel

    return keras.optimizers.MultiOptimizer(choose, name="paper")


def warmup_cosine(
    learning_rate: float, steps: int, final: float
) -> keras.optimizers.schedules.LearningRateSchedule:
    """A warm-up, so that a fresh head does no harm to the backbone, then a fall along a cosine.

    Args:
        learning_rate: the peak, after a twentieth of the steps.
        steps: length of the run.
        final: share of the peak at the end.
    """
    warmup = max(1, steps // 20)
    return keras.optimizers.schedules.CosineDecay(
        learning_rate * 0.1,
        max(1, steps - warmup),
        alpha=final,
        warmup_target=learning_rate,
        warmup_steps=warmup,
    )


def reset_optimizer(optimizer: keras.optimizers.Optimizer) -> None:
    """Sets an optimizer back to step 0 with empty moments; the traced training step stays valid."""
    for variable in optimizer.variables:
        if "learning_rate" not in variable.path:
            variable.assign(keras.ops.zeros_like(variable.value))
